// What only some sites ask for: t.js loads this module where `data-options` names anything.
// SPEC.md §16 lists the options and what each of them sends.
const DOWNLOADS = new RegExp(
  "\\.(7z|avi|csv|dmg|docx?|epub|exe|gz|iso|mov|mp3|mp4|msi|odt|pdf|pkg|pptx?|rar|tar|txt|wav|xlsx?|xz|zip)$", "i",
)
// The tracker's limits.
const MOST_CHARACTERS = 500, MOST_WAITING = 100
const KEPT = "track_queue", OFF = "track_off"

const wanted = new Set(document.querySelector("script[data-options]").dataset.options.split(/[\s,]+/))
const short = (text) => text.slice(0, MOST_CHARACTERS)

// --- Links and forms --------------------------------------------------------------------

/** Calls `report` with each http(s) link that is followed. */
const onLink = (report) => {
  const onClick = ({ target }) => {
    const link = target.closest?.("a[href]")
    if (link && /^https?:$/.test(link.protocol)) report(link)
  }
  document.addEventListener("click", onClick, true)
  // The middle button follows links too; the right one opens a menu.
  document.addEventListener("auxclick", (event) => event.button == 1 && onClick(event), true)
}

/** Without what may name a person: query and fragment. */
const plain = ({ origin, pathname }) => short(origin + pathname)

const isDownload = (link) => link.hasAttribute("download") || DOWNLOADS.test(link.pathname)

const downloads = () => onLink((link) => {
  if (isDownload(link)) track("file_download", { props: { url: plain(link) } })
})

const outbound = () => onLink((link) => {
  const told = wanted.has("downloads") && isDownload(link)
  if (link.host != location.host && !told) track("outbound_link", { props: { url: plain(link) } })
})

/** `data-track="signup" data-track-plan="pro"` sends `signup` with the property `plan`. */
const tagged = () => {
  const report = (element) => {
    const names = element.getAttributeNames().filter((name) => name.startsWith("data-track-"))
    const props = names.map((name) => [name.slice(11), short(element.getAttribute(name))])
    track(element.getAttribute("data-track"), { props: Object.fromEntries(props) })
  }
  document.addEventListener("click", ({ target }) => {
    const element = target.closest?.("[data-track]")
    if (element && element.localName != "form") report(element)
  }, true)
  document.addEventListener("submit", ({ target }) => {
    if (target.hasAttribute("data-track")) report(target)
  }, true)
}

// Attributes, not properties: a form's own fields may be called `id` or `action`.
const forms = () => document.addEventListener("submit", ({ target }) => {
  if (wanted.has("tagged") && target.hasAttribute("data-track")) return
  const address = new URL(target.getAttribute("action") || "", location)
  const form = target.getAttribute("id") || target.getAttribute("name") || address.pathname
  track("form_submit", { props: { form: short(form) } })
}, true)

// --- Pages ------------------------------------------------------------------------------

const notFound = () => {
  const [navigation] = performance.getEntriesByType("navigation")
  if (navigation?.responseStatus == 404) track("404", { props: { path: short(location.pathname) } })
}

/** Core web vitals as https://web.dev/articles/vitals defines them: milliseconds, but `cls`. */
const vitals = () => {
  // What a page in the background takes until it is painted says nothing about it.
  if (document.hidden) return
  const observers = []
  const observe = (type, read, more) => {
    if (!PerformanceObserver.supportedEntryTypes.includes(type)) return
    const observer = new PerformanceObserver((list) => list.getEntries().forEach(read))
    observer.observe({ type, buffered: true, ...more })
    observers.push([observer, read])
  }

  const found = {}
  const [navigation] = performance.getEntriesByType("navigation")
  if (navigation?.responseStart) found.ttfb = Math.round(navigation.responseStart)
  observe("paint", ({ name, startTime }) => {
    if (name == "first-contentful-paint") found.fcp = Math.round(startTime)
  })
  observe("largest-contentful-paint", ({ startTime }) => found.lcp = Math.round(startTime))

  // The worst window of shifts that lie less than a second apart, of five seconds at most.
  let worst = 0, sum = 0, first = 0, last = 0
  observe("layout-shift", ({ value, startTime, hadRecentInput }) => {
    if (hadRecentInput) return
    if (startTime - last > 1000 || startTime - first > 5000) [sum, first] = [0, startTime]
    last = startTime
    sum += value
    worst = Math.max(worst, sum)
  })

  // The longest interaction, but one in fifty may be longer: ten are enough for 500.
  const longest = new Map()
  const interact = ({ interactionId, duration }) => {
    if (!interactionId) return
    longest.set(interactionId, Math.max(duration, longest.get(interactionId) ?? 0))
    if (longest.size > 10) longest.delete([...longest].sort((a, b) => a[1] - b[1])[0][0])
  }
  observe("event", interact, { durationThreshold: 40 })
  observe("first-input", interact)

  const report = () => {
    observers.splice(0).forEach(([observer, read]) => observer.takeRecords().forEach(read))
    const durations = [...longest.values()].sort((a, b) => b - a)
    const passed = Math.floor((performance.interactionCount ?? 0) / 50)
    if (durations.length) found.inp = durations[Math.min(passed, durations.length - 1)]
    const props = { ...found, cls: Math.round(worst * 1e4) / 1e4 }
    track("web_vitals", { props })
  }
  let told = false
  const tell = () => {
    if (!told) report()
    told = true
  }
  document.addEventListener("visibilitychange", () => document.hidden && tell())
  addEventListener("pagehide", tell)
}

// --- This browser -----------------------------------------------------------------------

/** Events that still wait when their page goes are sent by the site's next page. */
const keep = () => {
  const take = () => {
    const kept = JSON.parse(localStorage.getItem(KEPT) || "[]")
    localStorage.removeItem(KEPT)
    return kept
  }
  const restore = () => track.q.push(...take().map(({ at, ...event }) => (
    { ...event, get queue_time() { return Date.now() - at } }
  )))
  const store = () => {
    const waiting = track.q.splice(0).map(({ queue_time, ...event }) => (
      { ...event, at: Date.now() - queue_time }
    ))
    if (!waiting.length) return
    const all = [...take(), ...waiting].slice(0, MOST_WAITING)
    localStorage.setItem(KEPT, JSON.stringify(all))
  }
  addEventListener("pagehide", store)
  addEventListener("pageshow", (event) => event.persisted && restore())
  restore()
}

/** `#track-off` behind the address of any page leaves this browser out from the next one on. */
const leaveOut = () => {
  if (location.hash == "#track-off") localStorage.setItem(OFF, "1")
  if (location.hash == "#track-on") localStorage.removeItem(OFF)
}

const OPTIONS = { downloads, outbound, tagged, forms, 404: notFound, vitals, keep, self: leaveOut }
for (const [name, start] of Object.entries(OPTIONS)) {
  try {
    if (wanted.has(name)) start()
  } catch (error) {
    // A browser that blocks storage must not lose the other options.
    console.warn(`track: the option “${name}” does not work here`, error)
  }
}
