#include "train/model_card.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/time.h"

namespace starling {
namespace {

// Languages with less than a thousandth of the posts share one row.
std::string language_rows(const std::map<std::string, int64_t>& languages) {
  std::vector<std::pair<std::string, int64_t>> rows(languages.begin(), languages.end());
  std::sort(rows.begin(), rows.end(),
            [](const auto& a, const auto& b) { return std::pair(-a.second, a.first) < std::pair(-b.second, b.first); });
  int64_t all = 0, rare = 0, rare_posts = 0;
  for (const auto& [language, posts] : rows) all += posts;
  std::string text;
  for (const auto& [language, posts] : rows) {
    if (posts * 1000 < all) ++rare, rare_posts += posts;
    else text += fmt::format("| {} | {} |\n", language.empty() ? "und" : language, posts);
  }
  if (rare > 0) text += fmt::format("| {} more, each less than a thousandth | {} |\n", rare, rare_posts);
  return text;
}

std::string data_section(const DataSummary& data) {
  std::string text = fmt::format(
      "## Data\n\nThe platform's own posts, cleaned by `starling prepare`: {} samples, {} tokens, {} bytes of text, "
      "written {} to {}.\n"
      "Personal data (e-mail, phone, IP, card and account numbers) were replaced by typed marks.\n\n",
      data.samples, data.tokens, data.text_bytes, format_day(data.first_time_s), format_day(data.last_time_s));
  if (!data.posts_per_language.empty())
    text += "| language | posts in the store |\n|---|---|\n" + language_rows(data.posts_per_language) + "\n";
  return text + fmt::format(
                    "Deletions obeyed: deleted posts and authors, and authors who opted out of training, are left out "
                    "when shards are made; "
                    "{} samples already in the shards were passed over for the same reason. `seen.bin` tells whether a "
                    "post was read "
                    "(`starling delete` prints it).\n\n",
                    data.masked_samples);
}

std::string evaluation_section(const TrainResult& r) {
  if (r.validation_bits_per_byte == 0) return "## Evaluation\n\nThere were no later posts to evaluate on.\n\n";
  return fmt::format(
      "## Evaluation\n\n{:.4f} bits per byte on {} later posts that training has not seen, end of post included. "
      "`starling eval` compares that with xz, a unigram and a 5-gram model of the same tokens.\n\n",
      r.validation_bits_per_byte, r.validation_samples);
}

}  // namespace

std::string model_card(const TrainResult& r, const ModelConfig& m, const TrainOptions& o, const DataSummary& data) {
  return fmt::format(
             "# {}\n\nA Llama-style decoder of {:.1f} million parameters ({} blocks, width {}, {} heads, vocabulary "
             "{}), "
             "trained from scratch on the posts of one platform.\n\n",
             r.name, static_cast<double>(r.parameters) / 1e6, m.num_layers, m.hidden_size, m.num_heads, m.vocab_size) +
         data_section(data) +
         fmt::format(
             "## Training\n\n{} steps of {} tokens ({} tokens, {} of the data's epochs begun), {} with learning rate "
             "{}, "
             "products in {}, seed {}. Embedding and head began {}. {:.0f} s at {:.0f} tokens/s, {:.0f} % of the "
             "matrix-product peak measured "
             "before and after.\n\n",
             r.steps, o.batch_tokens, r.tokens, r.epochs_begun, o.optimizer, o.learning_rate, r.precision, o.seed,
             r.counted_samples > 0 ? fmt::format("as the bigrams of {} samples", r.counted_samples) : "at random",
             r.seconds, r.tokens_per_s, r.fraction_of_peak * 100) +
         evaluation_section(r) +
         "## Intended use\n\nEmbeddings for search over the same platform's posts, continuation of short texts, and "
         "drafts of "
         "advertisements that a verifier checks and a person approves.\n\n"
         "## Limits\n\nThe model is small: it knows the platform's manner of writing, not facts, and must not be asked "
         "for advice or "
         "used to judge people. It can repeat what posts say, rude or wrong as that may be, and is weak in languages "
         "with few posts. "
         "A post deleted after training stays in the weights until the next training.\n";
}

}  // namespace starling
