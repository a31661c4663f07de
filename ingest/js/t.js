// The tracker script: page views, engagement, custom events, and the queue that sends each of them
// once. SPEC.md §16 says what is sent and when. It has to stay under 1 KB as it is served,
// which is why everything is `let`, in a block.
{
  let { currentScript: { src, dataset: { site, options } }, referrer } = document
  let queue = [], early = self.track?.q, { pushState } = history,
    off, path, since, depth, page = location.href

  // A try whose answer was lost may have arrived. The id makes the next one safe, but only for as
  // long as the tracker remembers it; what was never tried can wait.
  let send = () => {
    let at = Date.now()
    let events = navigator.onLine
      ? queue.splice(0).filter(event => at - (event.tried ||= at) < RETRY_MINUTES * 6e4) : []
    let body = JSON.stringify({ events })
    if (events[0]) fetch(new URL("../api/v1/track/batch", src), {
      method: "POST",
      body,
      // Browsers let no more than 64 kB outlive a page.
      keepalive: !body[2e4]
    }).then(({ status }) => {
      // 429 and 503 mean later; other refusals would be the same again.
      if (status > 428) throw 0
    }).catch(() => queue.unshift(...events))
  }

  // `track.q` is what waits: calls that were made before this script came, then events.
  let track = self.track = (name, { props } = {}) => {
    let at = Date.now()
    // Throws at who gave what can't be sent, not later, when others are sent with it.
    JSON.stringify(props)
    off || queue[99] || queue.push({
      site, name, props, referrer,
      page_url: page,
      event_id: at + "-" + Math.random(),
      get queue_time() { return Date.now() - at },
      title: document.title.slice(0, 1e3),
      screen: screen.width + "x" + screen.height,
      language: navigator.language,
      time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
      headless: navigator.webdriver
    })
    send()
  }
  track.q = queue

  let here = () => /hash/.test(options)
    ? (location.pathname + location.hash).replace(/\/?#!?\/?/, "/") : location.pathname

  let scroll = () => depth = Math.max(depth, scrollY + innerHeight)

  let leave = () => {
    scroll()
    if (since) track("engagement", { props: {
      seconds: (Date.now() - since) / 1e3,
      scroll_depth: Math.min(100, 100 * depth / document.documentElement.scrollHeight | 0)
    } })
    since = 0
    send()
  }

  let look = () => {
    // A page that goes gives up on what is under way, which arrives all the same, and is hidden after.
    if (document.hidden) return path && leave()
    if (path != here()) {
      if (path) {
        leave()
        referrer = page
      }
      path = here()
      page = (location.origin + path + location.search).slice(0, 4e3)
      depth = 0
      track("pageview")
    }
    since ||= Date.now()
  }

  // Reading it throws where a browser blocks storage.
  try {
    off = /self/.test(options) && localStorage.track_off
  } catch {}
  history.pushState = (...call) => {
    pushState.call(history, ...call)
    look()
  }
  addEventListener("popstate", look)
  addEventListener("scroll", scroll)
  addEventListener("online", send)
  // A page that the browser keeps and shows again is viewed again.
  addEventListener("pagehide", () => path = leave())
  addEventListener("visibilitychange", look)
  setInterval(send, 3e4)

  look()
  early?.map(call => track(...call))
  if (options) import(new URL("options.js", src))
}
