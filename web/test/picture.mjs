// Pictures of the page: node test/picture.mjs FOLDER [ROUTE...], e.g. docs/images "search?q=rain".
// STARLING_PAGE_URL and STARLING_PAGE_KEY name a running `starling serve`; without them the fixture server answers.
import { join } from "node:path";
import { openBrowser, openPage } from "./browser.mjs";
import { startFixtureServer } from "./fixture_server.mjs";
import { campaign } from "./fixtures.mjs";

const [folder = ".", ...asked] = process.argv.slice(2);
const routes = asked.length > 0 ? asked : ["search?q=rain", "search?mode=ask&q=Will+it+rain", "ads", "ads?campaign=c1", "training", "plan", "audit", "audit?tab=library"];
const shapes = { light: { colorScheme: "light" }, dark: { colorScheme: "dark" }, phone: { colorScheme: "light", viewport: { width: 390, height: 844 } } };
const only = process.env.SHAPES?.split(",") ?? Object.keys(shapes);

const fixture = process.env.STARLING_PAGE_URL ? undefined : await startFixtureServer();
if (fixture) fixture.state.campaigns = [campaign];
const url = process.env.STARLING_PAGE_URL ?? fixture.url;
const browser = await openBrowser();
for (const shape of only) {
  const { page, problems, close } = await openPage(browser, url, { key: process.env.STARLING_PAGE_KEY ?? "key-admin", ...shapes[shape] });
  for (const route of routes) {
    await page.goto(`${url}#/${route}`);
    await page.waitForFunction(() => document.querySelector("h1") && !document.querySelector(".loading"));
    await page.waitForTimeout(300);
    const path = join(folder, `${route.replace(/[^a-z0-9]+/gi, "_")}-${shape}.png`);
    await page.screenshot({ path, fullPage: Boolean(process.env.FULL) });
    console.log(path);
  }
  for (const problem of problems) console.log("problem:", problem);
  await close();
}
await browser.close();
await fixture?.close();
