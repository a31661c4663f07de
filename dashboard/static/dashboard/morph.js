// Makes what is on the page equal to what the server sends now, and touches nothing else, so that
// focus, selection and scroll positions stay. What has `data-drawn` was filled by a script.

export function morph(old, now) {
  if (old.nodeType !== now.nodeType || old.nodeName !== now.nodeName) return old.replaceWith(now);
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== now.data) old.data = now.data;
    return;
  }
  if (old.hasAttribute("data-drawn") && old.id === now.id) return;
  for (const { name } of [...old.attributes]) if (!now.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of now.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const children = [...now.childNodes];
  while (old.childNodes.length > children.length) old.lastChild.remove();
  children.forEach((child, n) => {
    if (n < old.childNodes.length) morph(old.childNodes[n], child);
    else old.append(child);
  });
}
