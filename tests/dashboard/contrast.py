"""Which texts of a page are hard to read (WCAG 2.2, 1.4.3)."""

from playwright.sync_api import Page

LEAST = 4.5
# [text, contrast] of each visible text, where it is least: before its background, or before the
# bar that may lie behind a row's name.
_CONTRASTS = """() => {
  const brush = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const pixel = (colour) => {
    brush.clearRect(0, 0, 1, 1);
    brush.fillStyle = colour;
    brush.fillRect(0, 0, 1, 1);
    return [...brush.getImageData(0, 0, 1, 1).data];
  };
  const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  const luminance = (colour) => {
    const [red, green, blue] = pixel(colour).map((part) => linear(part / 255));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const contrast = (one, other) => {
    const [dark, bright] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  };
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.background = "var(--fill)";
  const fill = getComputedStyle(probe).backgroundColor;
  probe.remove();
  const behind = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    const isSolid = pixel(colour)[3] === 255 || !element.parentElement;
    return isSolid ? colour : behind(element.parentElement);
  };
  const isRead = (text) => text.data.trim() && text.parentElement.checkVisibility()
    && !text.parentElement.closest("script, style, .unseen");
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode;
    if (!isRead(text)) continue;
    const grounds = [behind(text.parentElement)];
    if (text.parentElement.closest(".rows tbody tr:not(.rest) th")) grounds.push(fill);
    const { color } = getComputedStyle(text.parentElement);
    found.push([text.data.trim(), Math.min(...grounds.map((ground) => contrast(color, ground)))]);
  }
  return found;
}"""


def faint_texts(page: Page) -> list[tuple[str, float]]:
    """Those whose contrast is too low, with it."""
    found = page.evaluate(_CONTRASTS)
    assert found
    return [(text, contrast) for text, contrast in found if contrast < LEAST]
