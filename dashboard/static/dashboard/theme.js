// Runs before the page is drawn, so that it never flashes in the other theme.
{
  const root = document.documentElement;
  // What needs no script is shown until this says that there is one.
  root.classList.add("scripted");
  const kept = localStorage.getItem("theme");
  if (kept) root.dataset.theme = kept;
  const wish = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : wish.matches);

  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => { button.textContent = dark() ? "Light" : "Dark"; };
    // On a wall there is none.
    if (button) {
      button.hidden = false;
      button.addEventListener("click", () => {
        root.dataset.theme = dark() ? "light" : "dark";
        localStorage.setItem("theme", root.dataset.theme);
        label();
      });
      wish.addEventListener("change", label);
      label();
    }
    // A menu closes when something else is clicked or Escape is pressed.
    const close = (but) => document.querySelectorAll("details.menu[open]").forEach((menu) => { if (menu !== but) menu.open = false; });
    addEventListener("click", (event) => close(event.target.closest("details.menu")));
    addEventListener("keydown", (event) => { if (event.key === "Escape") close(null); });
  });
}
