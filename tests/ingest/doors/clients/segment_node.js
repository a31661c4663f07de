// node segment_node.js URL WRITE_KEY: page, track, identify, in one batch.
import { Analytics } from "@segment/analytics-node";

const [host, writeKey] = process.argv.slice(2);
const analytics = new Analytics({ host, writeKey, flushAt: 3 });
analytics.on("error", (error) => console.error("error", error));
const context = { userAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1", locale: "de-DE", timezone: "Europe/Berlin", campaign: { source: "news" } };
analytics.page({ userId: "u1", name: "Pricing", properties: { url: "https://shop.example/pricing", title: "Prices" }, context });
analytics.track({ anonymousId: "a1", event: "Signed Up", properties: { plan: "pro" }, messageId: "mine" });
analytics.identify({ userId: "u1", traits: { name: "somebody" } });
await analytics.closeAndFlush();
