import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { hits } from "./fixtures.mjs";
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

// Answers searches for the page: `answer(body, times)` gives the body of the `times`-th one, or a status.
async function answerSearches(page, answer) {
  let times = 0;
  await page.route("**/v1/search", async (route) => {
    times += 1;
    const body = await answer(route.request().postDataJSON(), times);
    if (typeof body === "number") await route.fulfill({ status: body, json: { error: { message: "busy", code: "busy" } } });
    else await route.fulfill({ json: { facets: [], corrected_query: "", took_ms: 1, ...body } });
  });
}

pageTest("after an error, trying again shows the posts", {}, async ({ page, open }) => {
  await answerSearches(page, (_, times) => (times === 1 ? 503 : { hits, estimated_total: 3 }));
  await open("search?q=rain");
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByText("3 posts for").waitFor();
  assert.equal(await page.locator("article.post").count(), 3);
});

pageTest("more posts of one query never come among those of another", {}, async ({ page, open }) => {
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  await answerSearches(page, async ({ query, offset }) => {
    if (query === "sun") return { hits: [hits[1]], estimated_total: 30 };
    if (offset === 0) return { hits: [hits[0]], estimated_total: 30 };
    await held;
    return { hits: [hits[2]], estimated_total: 30 };
  });
  await open("search?q=rain");
  await page.getByRole("button", { name: "More posts" }).click();
  await field(page).fill("sun");
  await page.keyboard.press("Enter");
  await page.locator("#post-2").waitFor();
  release();
  await page.waitForTimeout(200);
  assert.deepEqual(await page.locator("article.post").evaluateAll((posts) => posts.map((post) => post.id)), ["post-2"]);
});

pageTest("a query whose posts are all shown does not hide those of the next", {}, async ({ page, open }) => {
  await answerSearches(page, ({ query, offset }) => ({ hits: offset > 0 ? [] : [query === "sun" ? hits[1] : hits[0]], estimated_total: 30 }));
  await open("search?q=rain");
  const more = page.getByRole("button", { name: "More posts" });
  await more.click();
  await more.waitFor({ state: "detached" });
  await field(page).fill("sun");
  await page.keyboard.press("Enter");
  await page.locator("#post-2").waitFor();
  await more.waitFor();
});

pageTest("a post that is deleted while more are loaded stays away", {}, async ({ page, open }) => {
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  await answerSearches(page, async ({ offset }) => {
    if (offset === 0) return { hits: [hits[0], hits[1]], estimated_total: 30 };
    await held;
    return { hits: [hits[2]], estimated_total: 30 };
  });
  await open("search?q=rain");
  await page.getByRole("button", { name: "More posts" }).click();
  await page.locator("#post-1").getByRole("button", { name: "Delete" }).click();
  await page.getByRole("button", { name: "Yes, delete" }).click();
  await page.getByText("Post 1 is deleted").waitFor();
  release();
  await page.locator("#post-3").waitFor();
  assert.equal(await page.locator("#post-1").count(), 0);
});

pageTest("asking for the same query again asks the server again", {}, async ({ page, open }) => {
  await answerSearches(page, (_, times) => ({ hits: hits.slice(0, times), estimated_total: times }));
  await open("search?q=rain");
  await page.getByText("1 post for").waitFor();
  await field(page).press("Enter");
  await page.getByText("2 posts for").waitFor();
  assert.equal(await page.locator("article.post").count(), 2);
});

pageTest("a deletion is confirmed also where nothing is left to answer with", {}, async ({ page, open }) => {
  await open("search?mode=ask&q=rain");
  await page.locator("#post-2").waitFor();
  await page.route("**/v1/ask", (route) => route.fulfill({ json: { answered: false, sentences: [], sources: [] } }));
  await page.locator("#post-2").getByRole("button", { name: "Delete" }).click();
  await page.getByRole("button", { name: "Yes, delete" }).click();
  await page.getByRole("heading", { name: "No answer in the posts" }).waitFor();
  await page.getByText("Post 2 is deleted").waitFor();
});

pageTest("names of several words are searched whole", {}, async ({ page, open }) => {
  const named = { ...hits[1], post: { ...hits[1].post, author: "Jane Doe", community: "harbour town" } };
  await answerSearches(page, () => ({ hits: [named], estimated_total: 1 }));
  await open("search?q=rain");
  await page.getByRole("link", { name: "Jane Doe" }).click();
  await page.waitForFunction(() => document.querySelector("input[type=search]").value === 'from:"Jane Doe"');
  await page.getByRole("link", { name: "harbour town" }).click();
  await page.waitForFunction(() => document.querySelector("input[type=search]").value === 'in:"harbour town"');
});

pageTest("the help names only what the query language has", {}, async ({ page, open }) => {
  const language = await readFile(new URL("../../docs/formats/query-language.md", import.meta.url), "utf8");
  await open("search");
  await page.getByText("Query language").click();
  const terms = await page.locator(".query-help .term").allInnerTexts();
  const fields = terms.map((term) => /^\w+:/.exec(term)?.[0]).filter(Boolean);
  assert.ok(fields.length > 4);
  for (const name of fields) assert.ok(language.includes(`\`${name}`), `${name} is not in the query language`);
});

pageTest("who thinks better of a deletion is where they were", {}, async ({ page, open }) => {
  await open("search?q=rain");
  const remove = page.locator("#post-2").getByRole("button", { name: "Delete" });
  await remove.press("Enter");
  await page.keyboard.press("Escape");
  await remove.waitFor();
  assert.equal(await remove.evaluate((button) => button === document.activeElement), true);
});

pageTest("where the posts hold no answer the page says so", {}, async ({ page, open }) => {
  await open("search?mode=ask&q=something+unknown");
  await page.getByRole("heading", { name: "No answer in the posts" }).waitFor();
  assert.equal(await page.locator(".answer").count(), 0);
});
