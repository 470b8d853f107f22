#include "train/data_loader.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "core/random.h"

namespace starling {
namespace {

constexpr uint64_t kShuffleStream = 0x5a5a0000;

}  // namespace

std::vector<uint32_t> epoch_order(uint64_t count, uint64_t seed, int64_t epoch) {
  std::vector<uint64_t> keys(count);
  for (uint64_t i = 0; i < count; ++i) keys[i] = random_u64(seed, kShuffleStream + static_cast<uint64_t>(epoch), i);
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return std::pair(keys[a], a) < std::pair(keys[b], b); });
  return order;
}

DataLoader::DataLoader(SampleSource source, uint64_t seed, int32_t begin_token, DataCursor cursor,
                       std::function<void(const Sample&)> on_read)
    : source_(std::move(source)),
      seed_(seed),
      begin_token_(begin_token),
      on_read_(std::move(on_read)),
      cursor_(cursor) {
  if (source_.count == 0)
    throw DataError("the training shards hold no samples; ingest posts and run `starling prepare`");
  order_ = epoch_order(source_.count, seed_, cursor_.epoch);
}

void DataLoader::start_epoch() {
  cursor_ = {cursor_.epoch + 1, 0, 0};
  order_ = epoch_order(source_.count, seed_, cursor_.epoch);
}

bool DataLoader::load_sample() {
  while (!loaded_ && cursor_.position < static_cast<int64_t>(order_.size())) {
    sample_ = source_.read(order_[static_cast<size_t>(cursor_.position)]);
    loaded_ = !sample_.tokens.empty() && !(source_.is_masked && source_.is_masked(sample_));
    if (!loaded_) cursor_ = {cursor_.epoch, cursor_.position + 1, 0};
    else if (on_read_) on_read_(sample_);
  }
  return loaded_;
}

void DataLoader::fill_sequence(Batch& batch, int64_t first, int64_t length) {
  int64_t empty_epochs = 0;
  for (int64_t place = 0; place < length;) {
    if (!load_sample()) {
      if (++empty_epochs > 1)
        throw DataError("every training sample is deleted or opted out; there is nothing to train on");
      start_epoch();
      continue;
    }
    empty_epochs = 0;
    const auto tokens = static_cast<int64_t>(sample_.tokens.size());
    const int64_t taken = std::min(length - place, tokens - cursor_.token);
    for (int64_t i = 0; i < taken; ++i) {
      const auto at = static_cast<size_t>(first + place + i);
      const int64_t token = cursor_.token + i;
      batch.tokens[at] = token == 0 ? begin_token_ : sample_.tokens[static_cast<size_t>(token - 1)];
      batch.targets[at] = sample_.tokens[static_cast<size_t>(token)];
      batch.positions[at] = static_cast<int32_t>(i);
      batch.document_starts[at] = static_cast<int32_t>(place);
    }
    place += taken;
    cursor_.token += taken;
    if (cursor_.token == tokens) {
      cursor_ = {cursor_.epoch, cursor_.position + 1, 0};
      loaded_ = false;
    }
  }
}

Batch DataLoader::next(int64_t sequences, int64_t length) {
  Batch batch{sequences, length, {}, {}, {}, {}};
  const auto size = static_cast<size_t>(batch.size());
  for (std::vector<int32_t>* list : {&batch.tokens, &batch.targets, &batch.positions, &batch.document_starts})
    list->resize(size);
  for (int64_t sequence = 0; sequence < sequences; ++sequence) fill_sequence(batch, sequence * length, length);
  return batch;
}

}  // namespace starling
