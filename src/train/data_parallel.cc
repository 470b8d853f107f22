#include "train/data_parallel.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/hash.h"

namespace starling {

RowRange rows_of_rank(int64_t rows, int rank, int size) {
  const int64_t first = rows * rank / size;
  return {first, rows * (rank + 1) / size - first};
}

Batch take_rows(const Batch& batch, RowRange range) {
  Batch part{range.count, batch.length, {}, {}, {}, {}};
  const auto first = range.first * batch.length, last = first + part.size();
  for (auto list : {&Batch::tokens, &Batch::targets, &Batch::positions, &Batch::document_starts})
    (part.*list).assign((batch.*list).begin() + first, (batch.*list).begin() + last);
  return part;
}

void share(Communicator& world, std::string& text) {
  uint64_t size = text.size();
  share(world, size);
  text.resize(size);
  world.broadcast(std::as_writable_bytes(std::span(text)));
}

void share(Communicator& world, Batch& batch) {
  for (auto list : {&Batch::tokens, &Batch::targets, &Batch::positions, &Batch::document_starts}) {
    (batch.*list).resize(static_cast<size_t>(batch.size()));
    world.broadcast(std::as_writable_bytes(std::span(batch.*list)));
  }
}

void share(Communicator& world, Tensor values) {
  if (world.size() == 1) return;
  world.broadcast({static_cast<std::byte*>(values.data()), static_cast<size_t>(values.bytes())});
}

void check_same(Communicator& world, ConstTensor values, const std::string& what) {
  if (world.size() == 1) return;
  const uint64_t hash = hash64({static_cast<const char*>(values.data()), static_cast<size_t>(values.bytes())});
  const std::vector<double> all = world.all_gather(static_cast<double>(hash >> 11));  // a double holds 53 bits
  for (size_t rank = 1; rank < all.size(); ++rank)
    if (all[rank] != all[0])
      throw CommError(
          fmt::format("{} of rank {} are not those of rank 0; use equal machines and the same --threads for all ranks",
                      what, rank));
}

}  // namespace starling
