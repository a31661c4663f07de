// node matomo_node.js URL SITE: a page view, an event, and both in bulk.
import MatomoTracker from "matomo-tracker";

const [url, site] = process.argv.slice(2);
const matomo = new MatomoTracker(site, `${url}/matomo.php`);
matomo.on("error", (error) => console.error("error", error));
const visitor = { _id: "0123456789abcdef", ua: "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0" };
const page = { ...visitor, url: "https://shop.example/a?x=1", action_name: "Page A", urlref: "https://news.example/", res: "1366x768", cvar: JSON.stringify({ 1: ["plan", "pro"] }) };
const event = { ...visitor, url: "https://shop.example/a", e_c: "video", e_a: "play", e_n: "intro", e_v: 42 };
matomo.track({ ...page });
matomo.trackBulk([{ ...page, url: "https://shop.example/b" }, event], (answer) => console.log(answer));
