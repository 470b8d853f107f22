// The tokenizers of others on the same texts, for test/tokenizer_oracle_test.cc and the benchmark.
//
// usage: oracle.cjs encode NAME TEXTS IDS   ids of every text
//        oracle.cjs ranks NAME FILE         tiktoken's ranks NAME as a .tiktoken file: "base64 rank" a line
//        oracle.cjs train TEXT JSON         Hugging Face's trainer, vocabulary 30,000, on the lines of a text file with
//                                           cl100k's pattern; writes a tokenizer.json and prints the seconds as JSON
//        oracle.cjs time NAME TEXTS         MB/s of one thread, as JSON
//
// NAME is cl100k_base, o200k_base or r50k_base for tiktoken, else a @lenml/tokenizer-NAME for Hugging Face's tokenizers.
// TEXTS holds u32 length and UTF-8 bytes a text (or a text a line when named *.txt), IDS u32 count and u32 ids a text;
// little-endian.
// Special tokens in a text: tiktoken is told to allow none, Hugging Face's always takes them.
'use strict';
process.env.TOKENIZERS_PARALLELISM = 'false';
const fs = require('fs');

function* texts(file) {
  const bytes = fs.readFileSync(file);
  if (file.endsWith('.txt')) {
    yield* bytes.toString('utf8').match(/[^\n]*\n|[^\n]+$/g);
    return;
  }
  for (let at = 0; at < bytes.length;) {
    const size = bytes.readUInt32LE(at);
    yield bytes.toString('utf8', at + 4, at + 4 + size);
    at += 4 + size;
  }
}

function* batches(items, size) {
  let batch = [];
  for (const item of items) {
    batch.push(item);
    if (batch.length === size) {
      yield batch;
      batch = [];
    }
  }
  if (batch.length > 0) yield batch;
}

const tiktokenNames = ['r50k_base', 'cl100k_base', 'o200k_base'];

// Returns an async function from texts to arrays of ids.
function encoder(name) {
  if (tiktokenNames.includes(name)) {
    const tiktoken = require('tiktoken').get_encoding(name);
    return async (batch) => batch.map((text) => tiktoken.encode_ordinary(text));
  }
  const tokenizer = require('tokenizers').Tokenizer.fromFile(require.resolve(`@lenml/tokenizer-${name}/models/tokenizer.json`));
  return async (batch) => (await tokenizer.encodeBatch(batch, { addSpecialTokens: false })).map((e) => e.getIds());
}

async function encode(name, textsFile, idsFile) {
  const run = encoder(name);
  const out = fs.openSync(idsFile, 'w');
  for (const batch of batches(texts(textsFile), 1000)) {
    const words = [];
    for (const ids of await run(batch)) {
      words.push(ids.length);
      for (const id of ids) words.push(id);
    }
    fs.writeSync(out, Buffer.from(Uint32Array.from(words).buffer));
  }
  fs.closeSync(out);
}

// npm's file groups consecutive ranks: "! FIRST_RANK base64 base64 ..." a line.
function ranks(name, file) {
  const lines = [];
  for (const line of require(`tiktoken/encoders/${name}.json`).bpe_ranks.split('\n')) {
    const [, first, ...tokens] = line.split(' ');
    tokens.forEach((token, i) => lines.push(`${token} ${Number(first) + i}\n`));
  }
  fs.writeFileSync(file, lines.join(''));
}

const cl100k =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

function train(textFile, jsonFile) {
  process.env.TOKENIZERS_PARALLELISM = 'true';
  const split = { type: 'Split', pattern: { Regex: cl100k }, behavior: 'Isolated', invert: false };
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
  const tokenizer = require('tokenizers').Tokenizer.fromString(JSON.stringify({
    version: '1.0', truncation: null, padding: null, added_tokens: [], normalizer: null, post_processor: null,
    decoder: null, pre_tokenizer: { type: 'Sequence', pretokenizers: [split, byteLevel] },
    model: { type: 'BPE', vocab: {}, merges: [] },
  }));
  const start = process.hrtime.bigint();
  tokenizer.train([textFile]);
  const train_s = Number(process.hrtime.bigint() - start) / 1e9;
  tokenizer.save(jsonFile);
  console.log(JSON.stringify({ text_mb: fs.statSync(textFile).size / 1e6, vocab_size: tokenizer.getVocabSize(), train_s }));
}

async function time(name, textsFile) {
  const run = encoder(name);
  const all = [...texts(textsFile)];
  const bytes = all.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  let best = Infinity;
  for (let round = 0; round < 3; ++round) {
    const start = process.hrtime.bigint();
    for (const batch of batches(all, 1000)) await run(batch);
    best = Math.min(best, Number(process.hrtime.bigint() - start) / 1e9);
  }
  console.log(JSON.stringify({ name, text_mb: bytes / 1e6, encode_mb_s: bytes / 1e6 / best }));
}

const commands = { encode, ranks, train, time };
const [command, ...words] = process.argv.slice(2);
if (!commands[command]) throw new Error('usage: oracle.cjs encode|ranks|train|time ...');
Promise.resolve(commands[command](...words));
