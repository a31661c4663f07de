// node umami_node.js URL WEBSITE: a page view and a custom event.
import { Umami } from "@umami/node";

const [hostUrl, websiteId] = process.argv.slice(2);
const umami = new Umami({ websiteId, hostUrl });
const answers = [];
for (const response of [
  await umami.track({ url: "/pricing?utm_source=news", hostname: "shop.example", title: "Pricing", language: "en-GB", screen: "1920x1080", referrer: "https://news.example/a" }),
  await umami.track("signup", { plan: "pro", nested: { seats: 3 } }),
  await umami.identify({ name: "somebody" }),
]) answers.push([response.status, await response.json()]);
console.log(JSON.stringify(answers));
