#include "ops/attention_tiles.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/threads.h"
#include "ops/attention_rows.h"
#include "ops/matmul.h"
#include "ops/packed_tiles.h"
#include "ops/tile_products.h"
#include "ops/vector_math.h"

namespace starling {
namespace {

constexpr int64_t kBlockSteps = kBlock / kStep;

// Kept between calls.
template <class Memory>
Memory& of_thread() {
  thread_local Memory memory;
  return memory;
}

PackedPanels packed(TileMemory& memory, const TileOperand& operand, int64_t tiles) {
  const int64_t panels = operand.panels(tiles), steps = operand.steps();
  const PackedPanels packed{memory.of_bytes(panels * steps * tiles * kTileBytes), tiles, 0, 0, steps};
  pack_panels(packed, operand, {0, panels}, {0, steps});
  return packed;
}

// What the tasks of one call share.
struct Call {
  AttentionShape shape;
  ConstTensor qkv, starts;
  int64_t row_tiles = divide_up(shape.length, kTileSide), row_steps = divide_up(shape.length, kStep);
  int64_t blocks = divide_up(shape.length, kBlock), size_steps = shape.head_size / kStep;
  int64_t size_blocks = shape.head_size / kBlock;
  float scale = 1.0f / std::sqrt(static_cast<float>(shape.head_size));

  SeenKeys seen(int64_t sequence) const { return {starts.as<int32_t>() + sequence * shape.length, shape.length}; }
  // Of a matrix [B T, heads D] one sequence's rows of one head.
  template <class M>
  M head_of(const M& heads, int64_t sequence, int64_t head) const {
    return block(heads, sequence * shape.length, shape.length, head * shape.head_size, shape.head_size);
  }
  int64_t group() const { return shape.heads / shape.kv_heads; }
  ConstMatrix key(int64_t sequence, int64_t kv_head) const {
    return head_of(as_matrix(qkv), sequence, shape.heads + kv_head);
  }
  ConstMatrix value(int64_t sequence, int64_t kv_head) const {
    return head_of(as_matrix(qkv), sequence, shape.heads + shape.kv_heads + kv_head);
  }
};

template <class Products>
class Forward {
 public:
  Forward(const Call& call, Tensor out, Tensor lse) : call_(call), out_(out), lse_(lse) {}

  void run(int64_t sequence, int64_t kv_head) {
    keys_ = packed(memory_.keys, right_operand(transposed(call_.key(sequence, kv_head))), kBlockTiles);
    values_ = packed(memory_.values, right_operand(call_.value(sequence, kv_head)), kBlockTiles);
    seen_ = call_.seen(sequence);
    for (int64_t head = kv_head * call_.group(); head < (kv_head + 1) * call_.group(); ++head) {
      queries_ = packed(memory_.queries, left_operand(call_.head_of(as_matrix(call_.qkv), sequence, head)), 1);
      out_of_head_ = call_.head_of(as_matrix(out_), sequence, head);
      lse_of_head_ = lse_.as<float>() + (sequence * call_.shape.heads + head) * call_.shape.length;
      for (int64_t block = 0; block < call_.blocks; ++block) run_block(block);
    }
  }

 private:
  struct Memory {
    TileMemory keys, values, queries, scores, p, out;
  };

  void run_block(int64_t row_block) {
    const int64_t first = seen_.start(row_block * kBlock) / kBlock, key_tiles = (row_block + 1 - first) * kBlockTiles;
    const int64_t tiles = std::min(kBlockTiles, call_.row_tiles - row_block * kBlockTiles);
    float* scores = memory_.scores.of_floats(kBlockTiles * key_tiles * kTileSums);
    for (int64_t key_block = first; key_block <= row_block; ++key_block)
      for (int64_t tile = 0; tile < tiles; ++tile)
        multiply(products_, key_block == row_block ? tile + 1 : kBlockTiles,
                 {scores + (tile * key_tiles + (key_block - first) * kBlockTiles) * kTileSums,
                  queries_.at(row_block * kBlockTiles + tile, 0), keys_.at(key_block, 0), call_.size_steps, false});
    for (int64_t tile = 0; tile < tiles; ++tile)
      finish_rows(scores + tile * key_tiles * kTileSums, key_tiles - kBlockTiles + tile + 1, first,
                  row_block * kBlock + tile * kTileSide);
  }

  // Of 16 rows whose scores are there.
  void finish_rows(float* scores, int64_t key_tiles, int64_t first_block, int64_t first_row) {
    const int64_t steps = divide_up(key_tiles, 2), count = std::min(kTileSide, call_.shape.length - first_row);
    std::byte* p = memory_.p.of_bytes(steps * kTileBytes);
    float sums[kTileSide], lse[kTileSide];
    hide_unseen(scores, key_tiles, first_row, first_block * kBlock, seen_);
    exponentials(p, sums, lse, scores, key_tiles, call_.scale);
    std::copy_n(lse, count, lse_of_head_ + first_row);
    float* out = memory_.out.of_floats(kBlockSums);
    for (int64_t part = 0; part < call_.size_blocks; ++part) {
      multiply(products_, kBlockTiles, {out, p, values_.at(part, first_block * kBlockSteps), steps, false});
      write_rows(block(out_of_head_, first_row, count, 0, call_.shape.head_size), part * kBlock, out, kBlockTiles,
                 sums);
    }
  }

  const Call& call_;
  const Tensor out_, lse_;
  Products products_;
  Memory& memory_ = of_thread<Memory>();
  PackedPanels keys_, values_, queries_;
  SeenKeys seen_{};
  Matrix out_of_head_;
  float* lse_of_head_ = nullptr;
};

template <class Products>
class Backward {
 public:
  Backward(const Call& call, Tensor dqkv, ConstTensor dout, ConstTensor out, ConstTensor lse)
      : call_(call), dqkv_(dqkv), dout_(dout), out_(out), lse_(lse) {}

  void run(int64_t sequence, int64_t kv_head) {
    const ConstMatrix key = call_.key(sequence, kv_head);
    keys_ = packed(memory_.keys, left_operand(key), 1);
    turned_keys_ = packed(memory_.turned_keys, left_operand(transposed(key)), 1);
    values_ = packed(memory_.values, left_operand(call_.value(sequence, kv_head)), 1);
    seen_ = call_.seen(sequence);
    const int64_t sums = call_.row_tiles * call_.size_blocks * kBlockSums;
    dk_ = memory_.dk.of_floats(sums), dv_ = memory_.dv.of_floats(sums);
    std::fill_n(dk_, sums, 0.0f), std::fill_n(dv_, sums, 0.0f);
    for (int64_t head = kv_head * call_.group(); head < (kv_head + 1) * call_.group(); ++head) {
      enter_head(sequence, head);
      for (int64_t block = 0; block < call_.blocks; ++block) run_block(block);
    }
    write_keys(dk_, call_.head_of(as_matrix(dqkv_), sequence, call_.shape.heads + kv_head));
    write_keys(dv_, call_.head_of(as_matrix(dqkv_), sequence, call_.shape.heads + call_.shape.kv_heads + kv_head));
  }

 private:
  struct Memory {
    TileMemory keys, turned_keys, values, queries, query_rows, dout, dout_rows, dk, dv, scores, dp, p, ds, ds_right, dq;
  };

  void enter_head(int64_t sequence, int64_t head) {
    const ConstMatrix q = call_.head_of(as_matrix(call_.qkv), sequence, head);
    dout_of_head_ = call_.head_of(as_matrix(dout_), sequence, head);
    out_of_head_ = call_.head_of(as_matrix(out_), sequence, head);
    queries_ = packed(memory_.queries, right_operand(transposed(q)), kBlockTiles);
    query_rows_ = packed(memory_.query_rows, right_operand(q), kBlockTiles);
    douts_ = packed(memory_.dout, right_operand(transposed(dout_of_head_)), kBlockTiles);
    dout_rows_ = packed(memory_.dout_rows, right_operand(dout_of_head_), kBlockTiles);
    dq_of_head_ = call_.head_of(as_matrix(dqkv_), sequence, head);
    lse_of_head_ = lse_.as<float>() + (sequence * call_.shape.heads + head) * call_.shape.length;
  }

  void run_block(int64_t row_block) {
    const BackwardRows rows(row_block * kBlock, lse_of_head_, out_of_head_, dout_of_head_, seen_);
    const int64_t first = rows.starts[0] / kBlock * kBlockTiles,
                  end = std::min((row_block + 1) * kBlockTiles, call_.row_tiles);
    const int64_t steps = divide_up(end - first, 2);
    std::byte* ds_right = memory_.ds_right.of_bytes(steps * kBlockBytes);
    for (int64_t key_tile = first; key_tile < end; ++key_tile)
      add_keys(row_block, rows, key_tile,
               ds_right + (key_tile - first) / 2 * kBlockBytes + (key_tile - first) % 2 * (kTileBytes / 2));
    for (int64_t tile = 0; (end - first) % 2 == 1 && tile < kBlockTiles; ++tile)
      std::memset(ds_right + (steps - 1) * kBlockBytes + tile * kTileBytes + kTileBytes / 2, 0, kTileBytes / 2);
    float* dq = memory_.dq.of_floats(kBlockSums);
    for (int64_t part = 0; part < call_.shape.head_size / kTileSide; ++part) {
      multiply(products_, kBlockTiles, {dq, turned_keys_.at(part, first / 2), ds_right, steps, false});
      write_queries(dq, row_block, part);
    }
  }

  // What 16 keys and a block of rows that sees them give each other, but for dq.
  void add_keys(int64_t row_block, const BackwardRows& rows, int64_t key_tile, std::byte* ds_right) {
    const int64_t unseen = std::max<int64_t>(0, key_tile - row_block * kBlockTiles);  // tiles of rows before the keys
    float *scores = memory_.scores.of_floats(kBlockSums), *dp = memory_.dp.of_floats(kBlockSums);
    std::byte *p = memory_.p.of_bytes(kBlockSteps * kTileBytes), *ds = memory_.ds.of_bytes(kBlockSteps * kTileBytes);
    multiply(products_, kBlockTiles - unseen,
             {scores + unseen * kTileSums, keys_.at(key_tile, 0), queries_.at(row_block, 0) + unseen * kTileBytes,
              call_.size_steps, false});
    multiply(products_, kBlockTiles - unseen,
             {dp + unseen * kTileSums, values_.at(key_tile, 0), douts_.at(row_block, 0) + unseen * kTileBytes,
              call_.size_steps, false});
    backward_of_keys({p, ds, ds_right, scores, dp, key_tile * kTileSide, unseen, call_.scale}, rows);
    const int64_t skipped = unseen / 2, step = row_block * kBlockSteps + skipped;
    const int64_t steps = std::min((row_block + 1) * kBlockSteps, call_.row_steps) - step;
    for (int64_t part = 0; part < call_.size_blocks; ++part) {
      const int64_t at = (key_tile * call_.size_blocks + part) * kBlockSums;
      multiply(products_, kBlockTiles, {dv_ + at, p + skipped * kTileBytes, dout_rows_.at(part, step), steps, true});
      multiply(products_, kBlockTiles, {dk_ + at, ds + skipped * kTileBytes, query_rows_.at(part, step), steps, true});
    }
  }

  // dq^T of 16 elements by the rows of a block.
  void write_queries(const float* turned, int64_t row_block, int64_t part) {
    alignas(64) float dq[kTileSums];
    for (int64_t tile = 0; tile < kBlockTiles; ++tile) {
      const int64_t row = row_block * kBlock + tile * kTileSide;
      if (row >= call_.shape.length) return;
      transpose_tile(reinterpret_cast<std::byte*>(dq), reinterpret_cast<const std::byte*>(turned + tile * kTileSums),
                     kTileLine);
      write_rows(block(dq_of_head_, row, std::min(kTileSide, call_.shape.length - row), 0, call_.shape.head_size),
                 part * kTileSide, dq, 1);
    }
  }

  void write_keys(const float* sums, const Matrix& to) {
    for (int64_t tile = 0; tile < call_.row_tiles; ++tile)
      for (int64_t part = 0; part < call_.size_blocks; ++part, sums += kBlockSums) {
        const int64_t row = tile * kTileSide;
        write_rows(block(to, row, std::min(kTileSide, to.rows - row), 0, to.columns), part * kBlock, sums, kBlockTiles);
      }
  }

  const Call& call_;
  const Tensor dqkv_;
  const ConstTensor dout_, out_, lse_;
  Products products_;
  Memory& memory_ = of_thread<Memory>();
  PackedPanels keys_, turned_keys_, values_, queries_, query_rows_, douts_, dout_rows_;
  SeenKeys seen_{};
  ConstMatrix dout_of_head_, out_of_head_;
  Matrix dq_of_head_;
  const float* lse_of_head_ = nullptr;
  float *dk_ = nullptr, *dv_ = nullptr;  // [key tile][part of 64 elements][4][16][16]
};

template <template <class> class Task, class Products, class... Operands>
void run_tasks(const Call& call, const Operands&... operands) {
  SharedItems items(call.shape.sequences * call.shape.kv_heads, 1);
  parallel_for(items.ranges(), 1, [&](int64_t range, int64_t) {
    Task<Products> task(call, operands...);
    for (int64_t item; (item = items.take(range)) >= 0;)
      task.run(item / call.shape.kv_heads, item % call.shape.kv_heads);
  });
}

template <template <class> class Task, class... Operands>
void run_tasks(AttentionUnit unit, const Call& call, const Operands&... operands) {
  switch (unit) {
    case AttentionUnit::avx512:
      return run_tasks<Task, Avx512Products>(call, operands...);
    case AttentionUnit::amx:
      return run_tasks<Task, RegisterProducts<AmxRegisters>>(call, operands...);
    case AttentionUnit::plain:
      return run_tasks<Task, RegisterProducts<PlainRegisters>>(call, operands...);
  }
}

}  // namespace

std::optional<AttentionUnit> attention_unit(DType operands, const AttentionShape& shape) {
  if (!use_avx512_bf16() || operands != DType::bf16 || shape.head_size % kBlock != 0 || shape.cap > 0)
    return std::nullopt;
  if (products_in_use() == ProductKernels::amx) return AttentionUnit::amx;
  // vdpbf16ps is a fraction of what oneDNN has there.
  if (has_products(ProductKernels::amx)) return std::nullopt;
  return AttentionUnit::avx512;
}

void attention_forward_in_tiles(AttentionUnit unit, Tensor out, Tensor lse, ConstTensor qkv,
                                ConstTensor document_starts, const AttentionShape& shape) {
  const Call call{shape, qkv, document_starts};
  run_tasks<Forward>(unit, call, out, lse);
}

void attention_backward_in_tiles(AttentionUnit unit, Tensor dqkv, ConstTensor dout, ConstTensor qkv, ConstTensor out,
                                 ConstTensor lse, ConstTensor document_starts, const AttentionShape& shape) {
  const Call call{shape, qkv, document_starts};
  run_tasks<Backward>(unit, call, dqkv, dout, out, lse);
}

}  // namespace starling
