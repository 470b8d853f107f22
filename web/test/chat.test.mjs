import assert from "node:assert/strict";
import { pageTest, usePages } from "./with_page.mjs";

usePages();

async function say(page, text) {
  await page.getByLabel("Message", { exact: true }).fill(text);
  await page.keyboard.press("Enter");
}

pageTest("a conversation streams, counts its tokens, and each question carries what was said", {}, async ({ page, state, open }) => {
  await open("chat");
  await say(page, "Hello <i>you</i>");
  await page.getByText("12 + 5 tokens").waitFor();
  assert.equal(await page.getByRole("article", { name: "You" }).innerText(), "Hello <i>you</i>");
  assert.match(await page.getByRole("article", { name: "Model" }).innerText(), /^Good <b>day, 1\.\s+tinyllama · 12 \+ 5 tokens · first after [\d.]+ s · [\d.,]+ tokens\/s$/);
  await say(page, "And again");
  await page.getByText("Good <b>day, 3.", { exact: true }).waitFor();
  assert.deepEqual(state.chat.messages.map(({ role }) => role), ["user", "assistant", "user"]);
  assert.equal(state.chat.messages[1].content, "Good <b>day, 1.");
  await page.getByRole("button", { name: "New conversation" }).click();
  assert.equal(await page.getByRole("article").count(), 0);
});

pageTest("model, temperature, length and system message are sent, and an answer that is cut off says so", {}, async ({ page, state, open }) => {
  await open("chat");
  await page.getByText("Model tinyllama, temperature 0.8").click();
  await page.getByLabel("Model", { exact: true }).selectOption("own");
  await page.getByLabel("Temperature").fill("0");
  await page.getByLabel("Longest answer, tokens").fill("1");
  await page.getByLabel("System message").fill("Be short.");
  await say(page, "Hi");
  await page.getByText("cut off at the longest answer").waitFor();
  const { model, temperature, max_tokens, stream, messages } = state.chat;
  assert.deepEqual({ model, temperature, max_tokens, stream }, { model: "own", temperature: 0, max_tokens: 1, stream: true });
  assert.deepEqual(messages, [{ role: "system", content: "Be short." }, { role: "user", content: "Hi" }]);
});

pageTest("an answer can be stopped, keeps what was written, and the next question follows", {}, async ({ page, state, open }) => {
  await open("chat");
  state.hold = true;
  await say(page, "Tell me all");
  await page.getByText("Good <b>day").waitFor();
  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByText("stopped by you").waitFor();
  state.hold = false;
  await say(page, "Go on");
  await page.getByText("Good <b>day, 3.", { exact: true }).waitFor();
});

pageTest("a key that may not chat is told so", { key: "key-read" }, async ({ page, open }) => {
  await open("chat");
  await say(page, "Hello");
  await page.getByRole("alert").filter({ hasText: "This key may not do that" }).waitFor();
});
