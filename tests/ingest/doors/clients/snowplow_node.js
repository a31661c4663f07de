// node snowplow_node.js URL APP: a page view and a self-describing event.
import { newTracker, buildPageView, buildSelfDescribingEvent } from "@snowplow/node-tracker";

const [endpoint, appId] = process.argv.slice(2);
const tracker = newTracker({ namespace: "t", appId, encodeBase64: true }, { endpoint, bufferSize: 2, onRequestFailure: (data) => console.error("failure", JSON.stringify(data)) });
tracker.setUserId("u1");
tracker.setScreenResolution(1920, 1080);
tracker.setLang("en-GB");
tracker.track(buildPageView({ pageUrl: "https://shop.example/docs", pageTitle: "Docs", referrer: "https://news.example/" }));
tracker.track(buildSelfDescribingEvent({ event: { schema: "iglu:com.acme/signup/jsonschema/1-0-0", data: { plan: "pro" } } }));
await tracker.flush();
