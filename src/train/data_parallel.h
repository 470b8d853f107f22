// What the ranks of a training job share. Rank 0 reads the workspace's samples, decides and writes; every rank computes
// the gradient of its rows of each global batch. docs/decisions/0010-rank-0-reads-decides-and-writes.md
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

#include "comm/communicator.h"
#include "model/batch.h"
#include "tensor/tensor.h"

namespace starling {

// Rows [first, first + count) of a global batch of `rows` rows. The parts follow each other in the order of the ranks
// and differ by one row at most.
struct RowRange {
  int64_t first = 0, count = 0;
};
RowRange rows_of_rank(int64_t rows, int rank, int size);
Batch take_rows(const Batch& batch, RowRange range);

// Rank 0's value on every rank. A batch has the same sequences and length on all ranks before, a tensor the same shape.
template <class Value>
requires std::is_trivially_copyable_v<Value>
void share(Communicator& world, Value& value) { world.broadcast(std::as_writable_bytes(std::span(&value, 1))); }
void share(Communicator& world, std::string& text);
void share(Communicator& world, Batch& batch);
void share(Communicator& world, Tensor values);

// The same steps on equal machines give the same bits. Throws CommError on every rank, naming `what`, where a rank's
// bytes differ from rank 0's.
void check_same(Communicator& world, ConstTensor values, const std::string& what);

}  // namespace starling
