from django.urls import path

from dashboard.api import LedgerView, ReceiptView
from dashboard.stats_api import NowView, PagesView, TimeseriesView, TopView, TotalsView

urlpatterns = [
    path("api/v1/stats/<str:site>/totals", TotalsView.as_view(), name="totals"),
    path("api/v1/stats/<str:site>/timeseries", TimeseriesView.as_view(), name="timeseries"),
    path("api/v1/stats/<str:site>/top", TopView.as_view(), name="top"),
    path("api/v1/stats/<str:site>/pages", PagesView.as_view(), name="pages"),
    path("api/v1/stats/<str:site>/now", NowView.as_view(), name="now"),
    path("api/v1/receipts/<str:receipt>", ReceiptView.as_view(), name="receipt"),
    path("api/v1/ledger", LedgerView.as_view(), name="ledger"),
]
