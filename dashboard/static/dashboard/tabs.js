// The panels' tabs; each panel opens at the one that was chosen last.

const kept = (list) => `tab:${list.dataset.panel}`;
const tabsOf = (list) => [...list.querySelectorAll("[role=tab]")];

// Below `root`, as they were chosen.
export function openChosen(root) {
  for (const list of root.querySelectorAll("[role=tablist]")) {
    const tab = tabsOf(list).find(({ id }) => id === localStorage.getItem(kept(list)));
    if (tab) open(root, tab);
  }
}

// Clicks and keys, for tabs that are there and those that will be.
export function followTabs(root) {
  root.addEventListener("click", (event) => choose(root, event.target.closest("[role=tab]")));
  root.addEventListener("keydown", (event) => {
    const tab = event.target.closest("[role=tab]");
    const next = tab && neighbour(tabsOf(tab.parentElement), tab, event.key);
    if (!next) return;
    event.preventDefault();
    choose(root, next);
    next.focus();
  });
}

function choose(root, tab) {
  if (!tab) return;
  localStorage.setItem(kept(tab.parentElement), tab.id);
  open(root, tab);
}

function open(root, chosen) {
  for (const tab of tabsOf(chosen.parentElement)) {
    const isChosen = tab === chosen;
    tab.setAttribute("aria-selected", isChosen);
    if (isChosen) tab.removeAttribute("tabindex");
    else tab.setAttribute("tabindex", "-1");
    root.querySelector(`#${CSS.escape(tab.getAttribute("aria-controls"))}`).classList.toggle("other", !isChosen);
  }
}

function neighbour(tabs, tab, key) {
  const at = tabs.indexOf(tab);
  return {
    ArrowRight: tabs[(at + 1) % tabs.length],
    ArrowLeft: tabs.at(at - 1),
    Home: tabs[0],
    End: tabs.at(-1),
  }[key];
}
