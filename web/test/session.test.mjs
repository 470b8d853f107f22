import assert from "node:assert/strict";
import { pageTest, usePages } from "./with_page.mjs";

usePages();

pageTest("the page asks for a key, names a wrong one, and keeps a right one in this tab only", { key: "" }, async ({ page, open }) => {
  await open("");
  await page.getByLabel("API key").fill("wrong");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").filter({ hasText: "does not know this key" }).waitFor();
  await page.getByLabel("API key").fill("key-admin");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Search the posts" }).waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.getItem("starling.key")), "key-admin");
  assert.equal(await page.evaluate(() => JSON.stringify(localStorage).includes("key-admin") || document.cookie !== ""), false);
  await page.getByRole("button", { name: "admin key" }).click();
  await page.getByLabel("API key").waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.getItem("starling.key")), null);
});

pageTest("a key that the server no longer takes leads back to the field for one", { key: "key-revoked" }, async ({ page, open }) => {
  await open("search");
  await page.getByRole("alert").filter({ hasText: "no longer takes that key" }).waitFor();
});

pageTest("a role that may not do something is told so, and is not offered it", { key: "key-read" }, async ({ page, open }) => {
  await open("search?q=rain");
  assert.equal(await page.getByRole("button", { name: "Delete" }).count(), 0);
  assert.equal(await page.getByRole("button", { name: "New post" }).count(), 0);
  await open("ads");
  const refusal = page.getByRole("alert");
  await refusal.waitFor();
  assert.match(await refusal.innerText(), /This key may not do that[\s\S]*role read[\s\S]*another role/);
});

pageTest("an error of the server is shown as it is said, with a way to try again", {}, async ({ page, state, open }) => {
  await open("search?q=rain");
  state.down = true;
  await open("training");
  await page.getByRole("alert").filter({ hasText: "the index is loading" }).waitFor();
  state.down = false;
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByText("Model card").waitFor();
});

pageTest("the theme follows the system until one is chosen, and the choice stays", { colorScheme: "dark" }, async ({ page, open }) => {
  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  await open("search");
  const dark = await ground();
  await page.getByRole("button", { name: /Theme: as the system/ }).click();
  await page.waitForFunction((before) => getComputedStyle(document.documentElement).backgroundColor !== before, dark);
  const light = await ground();
  await page.reload();
  await page.getByRole("button", { name: /Theme: light/ }).waitFor();
  await page.waitForFunction((wanted) => getComputedStyle(document.documentElement).backgroundColor === wanted, light);
  await page.emulateMedia({ colorScheme: "light" });
  await page.getByRole("button", { name: /Theme: light/ }).click();
  await page.waitForFunction((wanted) => getComputedStyle(document.documentElement).backgroundColor === wanted, dark);
});
