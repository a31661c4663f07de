// The choice of another site.

export function followSwitch() {
  document.getElementById("site-switch")?.addEventListener("change", (event) => { location.href = event.target.value; });
}
