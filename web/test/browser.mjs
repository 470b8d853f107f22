// Debian's Chromium, without a network of its own and with a new empty profile (playwright makes one for every launch).
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

const kArguments = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

export const chromiumPath = process.env.CHROMIUM ?? "/usr/bin/chromium";
export const noBrowser = existsSync(chromiumPath) ? false : `${chromiumPath} is not there; apt-get install chromium, or set CHROMIUM`;

export const openBrowser = () => chromium.launch({ executablePath: chromiumPath, headless: true, args: kArguments });

// A page that fails its test on a script error, on a request to another host, and on anything its security policy blocks.
export async function openPage(browser, url, { key, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, locale: "en-GB", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const problems = [];
  page.on("pageerror", (error) => problems.push(`script error: ${error.message}`));
  page.on("console", (message) => {
    const text = message.text();
    if (message.type() === "error" && !text.startsWith("Failed to load resource")) problems.push(`console: ${text}`);
  });
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin) problems.push(`request to another host: ${request.url()}`);
  });
  if (key) await page.addInitScript((value) => sessionStorage.setItem("starling.key", value), key);
  return { page, problems, close: () => context.close() };
}
