// For every test file: one fixture server, one browser, and a new page for each test, which must end without problems.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { noBrowser, openBrowser, openPage } from "./browser.mjs";
import { startFixtureServer } from "./fixture_server.mjs";

let server;
let browser;

export function usePages() {
  before(async () => {
    if (noBrowser) return;
    server = await startFixtureServer();
    browser = await openBrowser();
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });
}

// body({ page, state, open }): `open` shows a route of the page; `state` is the fixture server's.
export function pageTest(name, options, body) {
  test(name, { skip: noBrowser }, async () => {
    server.reset();
    const { key = "key-admin", ...context } = options;
    const { page, problems, close } = await openPage(browser, server.url, { key, ...context });
    const open = async (route) => {
      await page.goto(`${server.url}#/${route}`);
      await page.waitForFunction(() => document.querySelector("h1") && !document.querySelector(".loading"));
    };
    try {
      await body({ page, state: server.state, open });
      assert.deepEqual(problems, []);
      assert.equal(await page.evaluate(() => window.hacked), undefined, "text was run as a script");
    } finally {
      await close();
    }
  });
}

export const kRoutes = ["search", "search?q=rain", "search?mode=ask&q=rain", "chat", "ads", "ads?campaign=c1", "training", "plan", "audit", "audit?tab=library"];
