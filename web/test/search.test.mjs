import assert from "node:assert/strict";
import { pageTest, usePages } from "./with_page.mjs";

usePages();

const field = (page) => page.getByRole("searchbox");

pageTest("a query shows its hits with the matched words marked", {}, async ({ page, open }) => {
  await open("search");
  await page.getByRole("heading", { name: "41,234 posts to search" }).waitFor();
  await field(page).fill("rain");
  await page.keyboard.press("Enter");
  await page.getByRole("status").filter({ hasText: "3 posts for rain in 3.1 ms" }).waitFor();
  assert.equal(await page.locator("article.post").count(), 3);
  assert.equal(await page.locator("#post-1 mark").innerText(), "rain");
  assert.match(page.url(), /q=rain/);
  await page.locator("#post-1").getByRole("button", { name: "Whole post" }).click();
  assert.match(await page.locator("#post-1 .post-text").innerText(), /(late again[\s\S]*){4}/);
});

pageTest("text of posts is only ever text", {}, async ({ page, open }) => {
  await open("search?q=rain");
  const hostile = page.locator("#post-3");
  assert.match(await hostile.innerText(), /<img src=x onerror="window.hacked=1"> & <script>/);
  assert.equal(await page.locator("#content img, #content script, #content [onclick], #content [onerror]").count(), 0);
  assert.equal(await hostile.locator("mark").count(), 1);
});

pageTest("facets narrow the query and say when they do", {}, async ({ page, open }) => {
  await open("search?q=rain");
  await page.getByRole("button", { name: "harbour town" }).click();
  assert.equal(await field(page).inputValue(), 'rain in:"harbour town"');
  const pressed = page.getByRole("button", { name: "harbour town", pressed: true });
  await pressed.click();
  await page.getByRole("button", { name: "harbour town", pressed: false }).waitFor();
  assert.equal(await field(page).inputValue(), "rain");
});

pageTest("a slash moves to the field, but not while writing", {}, async ({ page, open }) => {
  await open("search?q=rain");
  await page.locator("h1").click();
  await page.keyboard.press("/");
  assert.equal(await field(page).evaluate((element) => element === document.activeElement), true);
  assert.equal(await field(page).inputValue(), "rain");
  await page.keyboard.press("End");
  await page.keyboard.press("/");
  assert.equal(await field(page).inputValue(), "rain/");
});

pageTest("terms of the query language are added by choosing them", {}, async ({ page, open }) => {
  await open("search");
  await field(page).fill("rain");
  await page.getByText("Query language").click();
  await page.getByRole("button", { name: "min_likes:10" }).click();
  assert.equal(await field(page).inputValue(), "rain min_likes:10");
});

pageTest("a bad query and an empty result say what to do", {}, async ({ page, open }) => {
  await open("search?q=bad%3A");
  await page.getByRole("alert").filter({ hasText: "column 5: `bad:` is not a term" }).waitFor();
  await open("search?q=nothing");
  await page.getByRole("heading", { name: "No post matches" }).waitFor();
  await page.getByRole("link", { name: "nutting" }).click();
  await page.locator("article.post").first().waitFor();
  assert.equal(await field(page).inputValue(), "nutting");
});

pageTest("deleting asks first, then says which checkpoints saw the post", {}, async ({ page, open }) => {
  await open("search?q=rain");
  const card = page.locator("#post-2");
  await card.getByRole("button", { name: "Delete" }).click();
  await page.keyboard.press("Escape");
  await card.getByRole("button", { name: "Delete" }).click();
  await card.getByRole("button", { name: "Yes, delete" }).click();
  await page.getByRole("status").filter({ hasText: "Post 2 is deleted" }).filter({ hasText: "models/own" }).waitFor();
  assert.equal(await card.count(), 0);
});

pageTest("a new post is sent once and found by its author", {}, async ({ page, state, open }) => {
  await open("search");
  await page.getByRole("button", { name: "New post" }).click();
  await page.getByLabel("Author").fill("carol");
  await page.getByLabel("Text").fill("Sun at last! #Harbour says @bob");
  await page.getByRole("button", { name: "Post it" }).click();
  await page.getByRole("link", { name: "posts by carol" }).click();
  await page.getByText("Sun at last!").waitFor();
  const [post] = state.posted;
  assert.equal(state.posted.length, 1);
  assert.deepEqual([post.author, post.text], ["carol", "Sun at last! #Harbour says @bob"]);
  assert.match(post.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
});

pageTest("an answer's citations lead to the posts that support it", {}, async ({ page, open }) => {
  await open("search");
  await page.getByText("Ask", { exact: true }).first().click();
  await page.getByRole("heading", { name: "Ask the posts" }).first().waitFor();
  await field(page).fill("Will it rain?");
  await page.keyboard.press("Enter");
  await page.getByText("It has rained over the harbour since Tuesday.").waitFor();
  await page.getByRole("button", { name: "Source 2: go to the post" }).press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "post-2");
});

pageTest("where the posts hold no answer the page says so", {}, async ({ page, open }) => {
  await open("search?mode=ask&q=something+unknown");
  await page.getByRole("heading", { name: "No answer in the posts" }).waitFor();
  assert.equal(await page.locator(".answer").count(), 0);
});
