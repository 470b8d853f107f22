import assert from "node:assert/strict";
import { pageTest, usePages } from "./with_page.mjs";

usePages();

pageTest("a run's curves are drawn and told in words", {}, async ({ page, open }) => {
  await open("training");
  assert.equal(await page.locator(".chart canvas").count(), 4);
  const loss = page.getByRole("img", { name: /Training loss.*from 8\.\d+ to 3\.\d+/ });
  const drawn = await loss.locator("canvas").evaluate((canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.some((value) => value > 0);
  });
  assert.equal(drawn, true);
  assert.match(await page.locator(".stats").innerText(), /1\.7\d\d[\s\S]*bits per byte/);
});

pageTest("the first run's curves appear while it runs", {}, async ({ page, open }) => {
  let begun = false;
  await page.route("**/v1/training", (route) => (begun ? route.continue() : route.fulfill({ json: { runs: [] } })));
  await open("training");
  await page.getByRole("heading", { name: "No model is trained yet" }).waitFor();
  begun = true;
  await page.getByRole("img", { name: /Training loss/ }).waitFor();
});

pageTest("an answer that takes longer than the refresh is waited for", {}, async ({ page, open }) => {
  let release;
  let asked = 0;
  const held = new Promise((resolve) => { release = resolve; });
  await page.clock.install();
  await page.route("**/v1/training", async (route) => {
    asked += 1;
    if (asked === 1) return route.fulfill({ json: { runs: [] } });
    await held;
    return route.continue();
  });
  await open("training");
  const again = page.waitForRequest("**/v1/training");
  await page.clock.runFor(5000);
  await again;
  await page.clock.runFor(20_000);
  release();
  await page.getByRole("img", { name: /Training loss/ }).waitFor();
  assert.equal(asked, 2);
});

pageTest("the next records are asked for once", {}, async ({ page, open }) => {
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  const record = (sequence) => ({ sequence, time: "2026-01-01T00:00:00Z", kind: "post.deleted", body: {}, hash: "0".repeat(64) });
  await page.route("**/v1/audit?*", async (route) => {
    const after = Number(new URL(route.request().url()).searchParams.get("after"));
    if (after > 0) await held;
    await route.fulfill({ json: { records: Array.from({ length: 50 }, (_, i) => record(after + i + 1)), verified: true, break: null } });
  });
  await open("audit");
  const later = page.getByRole("button", { name: "Later" });
  await later.click();
  assert.equal(await later.isDisabled(), true);
  release();
  await page.getByRole("cell", { name: "100", exact: true }).waitFor();
});

pageTest("a model card is shown as text, never as markup", {}, async ({ page, open }) => {
  await open("training");
  const card = page.locator(".markdown");
  assert.match(await card.innerText(), /<b onclick="window.hacked=1">not bold<\/b>/);
  assert.equal(await card.locator("strong").innerText(), "10 M");
  assert.equal(await card.locator("td").count(), 4);
});

pageTest("a plan shows its layout, memory, time, power and price", {}, async ({ page, state, open }) => {
  await open("plan");
  await page.getByText("70B parameters").waitFor();
  assert.deepEqual(state.question, { model: "70b", gpus: 10000, gpu: "a100-80g", tokens: "2T" });
  await page.getByRole("img", { name: "One replica: 8 pipeline stages of 8 GPUs" }).waitFor();
  assert.match(await page.locator(".stats").innerText(), /20\.9 days[\s\S]*47\.2 %[\s\S]*8\.4 MW/);
  assert.match(await page.locator(".parts").first().innerText(), /59 GB of 80 GB[\s\S]*weights\s+2\.2 GB[\s\S]*free\s+21 GB/);
  assert.match(await page.getByRole("row", { name: /H100/ }).innerText(), /\$250M – \$320M\s+no/);
  await page.getByLabel("GPU type").selectOption("h100");
  await page.getByLabel("GPUs", { exact: true }).fill("many");
  await page.getByRole("button", { name: "Plan it" }).click();
  await page.getByRole("alert").filter({ hasText: "A whole number of GPUs" }).waitFor();
  await page.getByLabel("GPUs", { exact: true }).fill("4096");
  const planned = page.waitForResponse((response) => response.url().endsWith("/v1/plan"));
  await page.getByRole("button", { name: "Plan it" }).click();
  await planned;
  assert.deepEqual(state.question, { model: "70b", gpus: 4096, gpu: "h100", tokens: "2T" });
});

pageTest("a plan that cannot be made says why and keeps the form", {}, async ({ page, open }) => {
  await open("plan");
  await page.getByLabel("Model").fill("71b");
  await page.getByRole("button", { name: "Plan it" }).click();
  await page.getByRole("alert").filter({ hasText: 'did you mean "70b"' }).waitFor();
  assert.equal(await page.getByLabel("Model").inputValue(), "71b");
});

pageTest("the audit log says that the chain is whole, or where it breaks", {}, async ({ page, state, open }) => {
  await open("audit");
  await page.getByText("The chain is whole.").waitFor();
  assert.equal(await page.locator("tbody tr").count(), 3);
  state.broken = { sequence: 2, reason: "the hash does not match" };
  await page.getByRole("button", { name: "Check again" }).click();
  await page.getByRole("alert").filter({ hasText: "The chain is broken." }).filter({ hasText: '"sequence":2' }).waitFor();
});

pageTest("the ad library shows who paid and what was claimed, and filters", {}, async ({ page, open }) => {
  await open("audit?tab=library");
  assert.match(await page.locator(".library-entry").innerText(), /AI-generated ad[\s\S]*Harbour Roasters Ltd[\s\S]*1,200[\s\S]*18 \(1\.5 %\)[\s\S]*\$14\.40/);
  await page.getByText("4 claims and their facts").click();
  await page.getByLabel("Words in the ad").fill("tea");
  await page.keyboard.press("Enter");
  await page.getByText("No entry matches the filter.").waitFor();
});

pageTest("the library is what a key without the audit role sees first", { key: "key-read" }, async ({ page, open }) => {
  await open("audit");
  await page.getByRole("heading", { name: "Ad library" }).waitFor();
});
