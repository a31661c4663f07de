// A line above everything else, with what to do about it.

export function notice(text, link, address) {
  const line = document.getElementById("notice");
  const anchor = Object.assign(document.createElement("a"), { href: address, textContent: link });
  line.replaceChildren(text, anchor);
  line.hidden = false;
}

// Why there will be no more numbers: “logged out”, “not allowed” or “no site”.
export function noticeOf(reason) {
  const back = `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
  if (reason === "logged out") notice("You are logged out. ", "Log in again", back);
  if (reason === "not allowed") notice("You may no longer see this site. ", "All sites", "/?all");
  if (reason === "no site") notice("This site was removed. ", "All sites", "/?all");
}

export const noticeOfAge = () => notice("This page is older than the server. ", "Reload it", location.href);
