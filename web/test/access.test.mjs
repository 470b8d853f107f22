// What everyone needs: names on controls, the keyboard, contrast, narrow screens.
import assert from "node:assert/strict";
import { campaign } from "./fixtures.mjs";
import { kRoutes, pageTest, usePages } from "./with_page.mjs";

usePages();

function nameless() {
  const named = (element) => {
    const labels = element.labels ? [...element.labels].map((label) => label.textContent).join("") : "";
    const by = element.getAttribute("aria-labelledby");
    return [element.getAttribute("aria-label"), labels, by && document.getElementById(by)?.textContent, element.textContent].some((text) => text?.trim());
  };
  return [...document.querySelectorAll("a, button, input, select, textarea, summary, meter, progress, [role=button], [role=img], [role=region], dialog")]
    .filter((element) => !named(element)).map((element) => element.outerHTML.slice(0, 120));
}

function repeatedIds() {
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  return ids.filter((id, i) => ids.indexOf(id) !== i);
}

for (const route of kRoutes) {
  pageTest(`/${route}: one heading, named controls, unique ids, no sideways scrolling on a phone`, { viewport: { width: 360, height: 740 } }, async ({ page, state, open }) => {
    state.campaigns = [structuredClone(campaign)];
    await open(route);
    assert.equal(await page.locator("h1").count(), 1);
    assert.deepEqual(await page.evaluate(nameless), []);
    assert.deepEqual(await page.evaluate(repeatedIds), []);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= 360);
    assert.equal(await page.evaluate(() => document.documentElement.lang), "en");
  });
}

pageTest("the skip link, the views and their headings are reached by keyboard", {}, async ({ page, open }) => {
  await open("search");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent.trim()), "Skip to the content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "content");
  await page.getByRole("link", { name: "Training" }).press("Enter");
  await page.getByRole("heading", { name: "Training", level: 1 }).waitFor();
  await page.waitForFunction(() => document.activeElement.tagName === "H1");
  assert.equal(await page.title(), "Training · Starling");
  assert.equal(await page.locator("[aria-current=page]").innerText(), "Training");
});

pageTest("arrow keys choose among the rankings and focus can be seen", {}, async ({ page, open }) => {
  await open("search?q=rain");
  await page.getByRole("radio", { name: "Ranked" }).focus();
  await page.keyboard.press("ArrowRight");
  assert.equal(await page.getByRole("radio", { name: "Fused" }).isChecked(), true);
  const outline = await page.getByText("Fused", { exact: true }).evaluate((element) => getComputedStyle(element).outlineStyle);
  assert.equal(outline, "solid");
});

// WCAG 2.2, relative luminance and contrast ratio.
function contrasts() {
  const probe = document.createElement("i");
  document.body.append(probe);
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const luminance = (token) => {
    probe.style.color = `var(${token})`;
    canvas.fillStyle = getComputedStyle(probe).color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((value) => {
      const c = value / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const pairs = [
    ["--ink", "--sky"], ["--ink", "--surface"], ["--muted", "--sky"], ["--muted", "--surface"], ["--muted", "--sunken"], ["--green", "--surface"], ["--green", "--sky"],
    ["--green", "--green-soft"], ["--violet", "--violet-soft"], ["--red", "--red-soft"], ["--buff", "--buff-soft"], ["--on-green", "--green"], ["--on-red", "--red"],
    ["--ink", "--buff-soft"], ["--plumage-text", "--plumage"], ["--ink", "--red-soft"], ["--ink", "--green-soft"],
  ];
  return pairs.map(([text, ground]) => {
    const [a, b] = [luminance(text), luminance(ground)];
    return { pair: `${text} on ${ground}`, ratio: (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) };
  });
}

for (const colorScheme of ["light", "dark"]) {
  pageTest(`text has a contrast of at least 4.5 in the ${colorScheme} theme`, { colorScheme }, async ({ page, open }) => {
    await open("search");
    for (const { pair, ratio } of await page.evaluate(contrasts)) assert.ok(ratio >= 4.5, `${pair}: ${ratio.toFixed(2)}`);
  });
}
