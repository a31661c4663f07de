from django.urls import path

from dashboard.api import LedgerView, NowView, PagesView, ReceiptView, TotalsView

urlpatterns = [
    path("api/v1/stats/<str:site>/totals", TotalsView.as_view(), name="totals"),
    path("api/v1/stats/<str:site>/pages", PagesView.as_view(), name="pages"),
    path("api/v1/stats/<str:site>/now", NowView.as_view(), name="now"),
    path("api/v1/receipts/<str:receipt>", ReceiptView.as_view(), name="receipt"),
    path("api/v1/ledger", LedgerView.as_view(), name="ledger"),
]
