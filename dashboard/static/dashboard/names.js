// Names of countries and languages, which every browser knows.

const known = {};

function names(type) {
  return (known[type] ??= new Intl.DisplayNames(["en"], { type, fallback: "code" }));
}

// What is no code of its kind stays as it is.
export function nameOf(type, code) {
  try {
    return names(type).of(code);
  } catch {
    return code;
  }
}

// Write names in place of the codes below `root`.
export function writeNames(root) {
  for (const type of ["region", "language"]) {
    for (const element of root.querySelectorAll(`[data-names="${type}"]`)) {
      element.textContent = nameOf(type, element.textContent);
    }
  }
}
