import assert from "node:assert/strict";
import { campaign } from "./fixtures.mjs";
import { pageTest, usePages } from "./with_page.mjs";

usePages();

pageTest("a brief is written into variants, with progress on the way", {}, async ({ page, state, open }) => {
  await open("ads");
  await page.getByLabel("Product").fill("Harbour coffee");
  await page.getByRole("group", { name: "Fact 1" }).getByLabel("Value").fill("11.50");
  await page.getByRole("button", { name: "Write the ad" }).click();
  await page.getByText("writing variant 1 of 2").waitFor();
  assert.ok(Number(await page.getByRole("progressbar").getAttribute("value")) > 0);
  await page.getByRole("heading", { name: "Variants" }).waitFor();
  assert.equal(state.brief.facts[0].value, "11.50");
  assert.match(page.url(), /campaign=c1/);
});

pageTest("a job goes on while another view is open", {}, async ({ page, state, open }) => {
  await open("ads");
  await page.getByRole("button", { name: "Write the ad" }).click();
  await page.getByText("writing variant 1 of 2").waitFor();
  await open("training");
  state.polls = 0;
  await open("ads");
  await page.getByText(/writing variant \d of 2/).waitFor();
  await page.getByRole("heading", { name: "Variants" }).waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.getItem("starling.job")), null);
});

pageTest("a failed job gives its reason and can be started again", {}, async ({ page, state, open }) => {
  state.failWriting = true;
  await open("ads");
  await page.getByRole("button", { name: "Write the ad" }).click();
  await page.getByRole("alert").filter({ hasText: "the writer ran out of memory" }).waitFor();
  state.failWriting = false;
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByRole("heading", { name: "Variants" }).waitFor();
});

pageTest("the same brief is edited as TOML, and a mistake in it is named", {}, async ({ page, state, open }) => {
  await open("ads");
  await page.getByText("TOML", { exact: true }).click();
  const text = page.getByLabel("Brief as TOML");
  assert.match(await text.inputValue(), /advertiser = "Harbour Roasters"/);
  const toml = await text.inputValue();
  await text.fill(`${toml}\nbroken`);
  await page.getByRole("button", { name: "Write the ad" }).click();
  await page.getByRole("alert").waitFor();
  assert.equal(state.brief, undefined);
  await text.fill(toml.replace("Harbour Roasters", "Quay Roasters"));
  await page.getByText("Form", { exact: true }).click();
  assert.equal(await page.getByLabel("Advertiser").inputValue(), "Quay Roasters");
});

pageTest("a mistake in the TOML keeps the text open, however often one asks for the form", {}, async ({ page, open }) => {
  await open("ads");
  await page.getByText("TOML", { exact: true }).click();
  await page.getByLabel("Brief as TOML").fill("broken");
  for (let times = 0; times < 2; times += 1) {
    await page.getByText("Form", { exact: true }).click();
    await page.getByRole("alert").waitFor();
    assert.equal(await page.getByRole("radio", { name: "TOML" }).isChecked(), true);
  }
});

pageTest("a job whose progress could not be asked for goes on, and is not written twice", {}, async ({ page, open }) => {
  let failures = 1;
  let written = 0;
  page.on("request", (request) => { if (request.url().endsWith("/v1/ads/write")) written += 1; });
  await page.route("**/v1/ads/jobs/*", (route) => (failures-- > 0 ? route.abort() : route.continue()));
  await open("ads");
  await page.getByRole("button", { name: "Write the ad" }).click();
  await page.getByRole("alert").filter({ hasText: "cannot be reached" }).waitFor();
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByRole("heading", { name: "Variants" }).waitFor();
  assert.equal(written, 1);
});

pageTest("a job that failed before the page was loaded offers no second try that does nothing", {}, async ({ page, state, open }) => {
  state.failWriting = true;
  await page.addInitScript(() => sessionStorage.setItem("starling.job", "j1"));
  await open("ads");
  await page.getByRole("alert").filter({ hasText: "the writer ran out of memory" }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Try again" }).count(), 0);
});

pageTest("audiences are shown with their size, refused ones with the reason", {}, async ({ page, state, open }) => {
  state.campaigns = [structuredClone(campaign)];
  await open("ads?campaign=c1");
  assert.match(await page.locator(".audience").first().innerText(), /412 authors · 980 posts/);
  assert.match(await page.locator(".audience.refused").innerText(), /#diabetes[\s\S]*health is never used for targeting/);
});

pageTest("every claim is marked in the copy and leads to the fact that proves it", {}, async ({ page, state, open }) => {
  state.campaigns = [structuredClone(campaign)];
  await open("ads?campaign=c1");
  const accepted = page.locator(".variant.accepted");
  assert.deepEqual(await accepted.locator(".claim").allInnerTexts(), ["500 g", "Roasted to order", "12.90 USD a bag"]);
  await accepted.locator(".claim").filter({ hasText: "12.90" }).press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "fact-price");
  await accepted.getByRole("button", { name: "fact weight" }).click();
  assert.equal(await page.evaluate(() => document.activeElement.id), "fact-weight");
  const rejected = page.locator(".variant.rejected");
  assert.deepEqual(await rejected.locator(".claim.bad").allInnerTexts(), ["best coffee on earth", "9.90 USD"]);
  assert.match(await rejected.innerText(), /9.90 USD is not the price attested/);
});

pageTest("only accepted variants can be approved, by a named person", {}, async ({ page, state, open }) => {
  state.campaigns = [structuredClone(campaign)];
  await open("ads?campaign=c1");
  assert.equal(await page.getByRole("checkbox", { name: "Approve this one" }).count(), 1);
  const approve = page.getByRole("button", { name: "Approve 1 variant" });
  assert.equal(await page.getByRole("button", { name: "Choose a variant" }).isDisabled(), true);
  await page.getByRole("checkbox", { name: "Approve this one" }).check();
  assert.equal(await approve.isDisabled(), true);
  await page.getByLabel("Approved by").fill("Dana");
  await approve.click();
  await page.locator(".variant.approved").waitFor();
  assert.equal(state.approver, "Dana");
  assert.deepEqual(state.campaigns[0].variants.map((variant) => variant.state), ["approved", "rejected"]);
});

pageTest("an approved campaign is paused, resumed and ended", {}, async ({ page, state, open }) => {
  state.campaigns = [{ ...structuredClone(campaign), state: "approved" }];
  await open("ads?campaign=c1");
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByRole("button", { name: "Resume" }).click();
  await page.getByRole("button", { name: "Pause" }).waitFor();
  await page.getByRole("button", { name: "End" }).click();
  await page.getByRole("button", { name: "Yes, end" }).click();
  await page.getByRole("button", { name: "Pause" }).waitFor({ state: "detached" });
  assert.equal(state.campaigns[0].state, "ended");
});

pageTest("a person's own words go through the same checks", {}, async ({ page, state, open }) => {
  state.campaigns = [structuredClone(campaign)];
  await open("ads?campaign=c1");
  await page.getByLabel("Headline").fill("Coffee");
  await page.getByLabel("Body").fill("The best coffee.");
  await page.getByRole("button", { name: "Check against the facts" }).click();
  const checked = page.getByRole("region", { name: "Check your own words" }).locator(".variant");
  await checked.waitFor();
  assert.match(await checked.innerText(), /rejected[\s\S]*The best coffee\.[\s\S]*superlative/);
});
