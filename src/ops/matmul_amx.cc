#include "ops/matmul_amx.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "core/threads.h"
#include "ops/bf16_lanes.h"
#include "ops/packed_tiles.h"
#include "ops/tile_registers.h"

namespace starling {
namespace {

// The longer side of c is cut into blocks, the other into strips of four tiles. For 160 of k a strip (20 KB) stays in
// the first cache while the block's panels of one tile (5 KB) pass by from the second, each for four tiles of sums
// (4 KB). Both are packed: a block by the thread that needs it, all strips once, by all threads.
constexpr int64_t kStripTiles = 4, kPieceSteps = 5;
// Of a second cache of 2 MB a block takes 1.2 with all of its k, up to 1536; of longer k 24 panels by 768 of k, beside
// sums of 24 panels by 12 strips that wait for the next 768 (1.2 MB).
constexpr int64_t kBlockTiles = 1152, kBlockPanels = 24, kChunkSteps = 24, kRangeStrips = 12;
constexpr int64_t kSums = kStripTiles * kTileSums;
constexpr int kFirstCache = 3, kSecondCache = 2;  // of __builtin_prefetch

// What a product asks for while it runs, for those after it: lines of the cache at each of its steps.
constexpr int64_t kPanelLines = kTileBytes / kTileLine, kStripLines = kStripTiles * kPanelLines;
constexpr int64_t kSumsLines = divide_up(kSums * sizeof(float) / kTileLine, kPieceSteps);

struct Fetch {
  const std::byte* from = nullptr;
  int64_t lines = 0;  // a step

  // Inlined, as GCC takes a function that only asks for lines to have no effect, and leaves out its calls.
  template <int cache>
  STARLING_INLINE void make(int64_t step) const {
    const std::byte* first = from + step * lines * kTileLine;
    for (int64_t i = 0; i < lines; ++i) __builtin_prefetch(first + i * kTileLine, 0, cache);
  }
};

// sums (+)= the products of a panel that passes with each of a strip's tiles.
struct PanelProduct {
  const std::byte *panel, *strip;
  int64_t steps;
  float* sums;  // [4] tiles [16][16]
  bool add;
  const std::byte *next_panel, *next_sums;
  Fetch next_strip, later_strip;  // the latter to the second cache
};

template <bool panel_is_left, class Registers>
void multiply_panel(Registers& r, const PanelProduct& p) {
  constexpr Tile<0> sum0;
  constexpr Tile<1> sum1;
  constexpr Tile<2> sum2;
  constexpr Tile<3> sum3;
  constexpr Tile<4> panel;
  constexpr Tile<5> strip0;
  constexpr Tile<6> strip1;
  constexpr Tile<7> strip2;
  const auto for_sums = [&](const auto& each) {
    each(sum0, p.sums), each(sum1, p.sums + kTileSums);
    each(sum2, p.sums + 2 * kTileSums), each(sum3, p.sums + 3 * kTileSums);
  };
  const auto multiply = [&](auto sum, auto strip, const std::byte* lines) {
    r.load(strip, lines);
    if constexpr (panel_is_left) r.dot(sum, panel, strip);
    else r.dot(sum, strip, panel);
  };
  for_sums([&](auto tile, const float* sums) { p.add ? r.load(tile, sums) : r.zero(tile); });
  for (int64_t step = 0; step < p.steps; ++step) {
    const std::byte* strip = p.strip + step * kStripTiles * kTileBytes;
    r.load(panel, p.panel + step * kTileBytes);
    multiply(sum0, strip0, strip);
    multiply(sum1, strip1, strip + kTileBytes);
    multiply(sum2, strip2, strip + 2 * kTileBytes);
    multiply(sum3, strip0, strip + 3 * kTileBytes);
    Fetch{p.next_panel, kPanelLines}.make<kFirstCache>(step);
    Fetch{p.next_sums, kSumsLines}.make<kFirstCache>(step);
    p.next_strip.make<kFirstCache>(step);
    p.later_strip.make<kSecondCache>(step);
  }
  for_sums([&](auto tile, float* sums) { r.store(tile, sums); });
}

// Of the sums of a row, those of 16 columns. The tiles lie side by side or one upon the other.
const float* line_of(const float* sums, int64_t row, int64_t column) {
  return sums + (row / kTileSide + column / kTileSide) * kTileSums + row % kTileSide * kTileSide;
}

// c = or += the sums that are inside of it.
template <class T>
void write_sums(const Matrix& c, const float* sums, Accumulate accumulate) {
  for (int64_t row = 0; row < c.rows; ++row)
    for (int64_t column = 0; column < c.columns; ++column) {
      T& to = static_cast<T*>(const_cast<void*>(c.data))[row * c.row_stride + column];
      const float sum = line_of(sums, row, column)[column % kTileSide];
      to = from_float<T>(accumulate == Accumulate::yes ? to_float(to) + sum : sum);
    }
}

// The same where all columns of the tiles are inside.
template <Accumulate accumulate>
void write_lines(const Matrix& c, const float* sums) {
  for (int64_t row = 0; row < c.rows; ++row)
    for (int64_t column = 0; column < c.columns; column += 8) {
      float* to = static_cast<float*>(const_cast<void*>(c.data)) + row * c.row_stride + column;
      const __m256 sum = _mm256_load_ps(line_of(sums, row, column) + column % kTileSide);
      _mm256_storeu_ps(to, accumulate == Accumulate::yes ? _mm256_add_ps(_mm256_loadu_ps(to), sum) : sum);
    }
}

// By the instruction that rounds 16, which every processor with AMX has.
STARLING_AVX512_BF16 void round_lines(const Matrix& c, const float* sums) {
  for (int64_t row = 0; row < c.rows; ++row)
    for (int64_t column = 0; column < c.columns; column += kTileSide) {
      bf16* to = static_cast<bf16*>(const_cast<void*>(c.data)) + row * c.row_stride + column;
      store_lanes(to, _mm512_load_ps(line_of(sums, row, column)));
    }
}

void write_sums(const Matrix& c, const float* sums, Accumulate accumulate) {
  const bool whole_lines = c.columns % kTileSide == 0;
  if (c.dtype == DType::bf16)
    whole_lines&& use_avx512_bf16() ? round_lines(c, sums) : write_sums<bf16>(c, sums, accumulate);
  else if (!whole_lines) write_sums<float>(c, sums, accumulate);
  else accumulate == Accumulate::yes ? write_lines<Accumulate::yes>(c, sums) : write_lines<Accumulate::no>(c, sums);
}

// How c is cut: blocks of the longer side, ranges of strips of the other, chunks of k.
struct Cut {
  int64_t blocks, ranges, chunks;
};

Cut cut_of(int64_t panels, int64_t strips, int64_t steps, int64_t threads) {
  const bool at_once = steps <= kBlockTiles / kBlockPanels;
  const int64_t block_panels = at_once ? kBlockTiles / std::max<int64_t>(1, steps) : kBlockPanels;
  Cut cut{divide_up(panels, block_panels), at_once ? 1 : divide_up(strips, kRangeStrips),
          at_once ? 1 : divide_up(steps, kChunkSteps)};
  const int64_t most = panels * strips;
  while (cut.blocks * cut.ranges < std::min(threads, most)) {
    const bool tall = panels * cut.ranges >= strips * kStripTiles * cut.blocks;
    if (cut.ranges == strips || (tall && cut.blocks < panels)) cut.blocks = std::min(2 * cut.blocks, panels);
    else cut.ranges = std::min(2 * cut.ranges, strips);
  }
  // As many for each thread as for the others.
  const int64_t unit = threads / std::gcd(threads, cut.ranges), even = divide_up(cut.blocks, unit) * unit;
  if (even <= panels) cut.blocks = even;
  return cut;
}

// A thread's own.
struct Buffers {
  TileMemory block, sums;
};

class TiledProduct {
 public:
  TiledProduct(const Matrix& c, const ConstMatrix& a, const ConstMatrix& b, Accumulate accumulate, int64_t threads)
      : c_(c),
        accumulate_(accumulate),
        blocked_(c.rows >= c.columns ? left_operand(a) : right_operand(b)),
        striped_(c.rows >= c.columns ? right_operand(b) : left_operand(a)),
        strips_(striped_.panels(kStripTiles)),
        steps_(blocked_.steps()),
        cut_(cut_of(blocked_.panels(1), strips_, steps_, threads)) {}

  template <class Registers>
  void run() {
    thread_local TileMemory packed;
    packed_strips_ = {packed.of_bytes(strips_ * steps_ * kStripTiles * kTileBytes), kStripTiles, 0, 0, steps_};
    pack_strips();
    SharedItems items(cut_.blocks * cut_.ranges, 1);
    parallel_for(items.ranges(), 1, [&](int64_t range, int64_t) {
      Registers registers;
      thread_local Buffers buffers;
      for (int64_t item; (item = items.take(range)) >= 0;) multiply_item(registers, buffers, item);
    });
  }

 private:
  // A strip with 160 of k or fewer: what stays in the first cache while a block passes by.
  struct Piece {
    int64_t strip;
    Range steps;
  };
  // What a thread works at: a block and a range of strips with a chunk of k.
  struct Part {
    Range panels, strips, steps;
    PackedPanels block;
    float* sums;  // [strip, if they wait for the next chunk][panel] kSums
    bool first, last;

    int64_t pieces_of_strip() const { return std::max<int64_t>(1, divide_up(steps.count(), kPieceSteps)); }
    int64_t pieces() const { return strips.count() * pieces_of_strip(); }
    Piece piece(int64_t index) const {
      return {strips.first + index / pieces_of_strip(), part_of(steps, index % pieces_of_strip(), pieces_of_strip())};
    }
  };

  void pack_strips() {
    const int64_t chunks = cut_.chunks;
    SharedItems items(strips_ * chunks, 1);
    parallel_for(items.ranges(), 1, [&](int64_t range, int64_t) {
      for (int64_t item; (item = items.take(range)) >= 0;)
        pack_panels(packed_strips_, striped_, {item / chunks, item / chunks + 1},
                    part_of({0, steps_}, item % chunks, chunks));
    });
  }

  template <class Registers>
  void multiply_item(Registers& registers, Buffers& buffers, int64_t item) {
    Part part{};
    part.panels = part_of({0, blocked_.panels(1)}, item / cut_.ranges, cut_.blocks);
    part.strips = part_of({0, strips_}, item % cut_.ranges, cut_.ranges);
    const int64_t waiting_strips = cut_.chunks > 1 ? part.strips.count() : 1;
    part.sums = buffers.sums.of_floats(waiting_strips * part.panels.count() * kSums);
    for (int64_t chunk = 0; chunk < cut_.chunks; ++chunk) {
      part.steps = part_of({0, steps_}, chunk, cut_.chunks);
      part.first = chunk == 0, part.last = chunk + 1 == cut_.chunks;
      const int64_t bytes = part.panels.count() * part.steps.count() * kTileBytes;
      part.block = {buffers.block.of_bytes(bytes), 1, part.panels.first, part.steps.first, part.steps.count()};
      pack_panels(part.block, blocked_, part.panels, part.steps);
      for (int64_t piece = 0; piece < part.pieces(); ++piece) multiply_piece(registers, part, piece);
    }
  }

  // The panels of a block with a strip. Sums are written to c after the next product: what a tile instruction stored
  // cannot be read back at once.
  template <class Registers>
  void multiply_piece(Registers& registers, const Part& part, int64_t index) {
    const Piece now = part.piece(index), next = part.piece(std::min(index + 1, part.pieces() - 1));
    const int64_t pieces = part.pieces_of_strip(), in_strip = index % pieces;
    const bool begins = part.first && in_strip == 0, ends = part.last && in_strip + 1 == pieces;
    float *sums = part.sums, *made = nullptr;
    if (cut_.chunks > 1) sums += (now.strip - part.strips.first) * part.panels.count() * kSums;
    Matrix made_result;
    for (int64_t panel = part.panels.first; panel < part.panels.end; ++panel, sums += kSums) {
      const Matrix result = result_of(panel, now.strip);
      if (part.last) fetch_result(result, part_of({0, result.rows}, in_strip, pieces));
      const PanelProduct product = product_of(part, now, next, panel, sums, !begins);
      blocked_.is_left ? multiply_panel<true>(registers, product) : multiply_panel<false>(registers, product);
      if (made) write_sums(made_result, made, accumulate_);
      made_result = result, made = ends ? sums : nullptr;
    }
    if (made) write_sums(made_result, made, accumulate_);
  }

  // With it are asked for: the next panel and sums; what stays for the next piece, its first step at the end of this
  // one, the others one step ahead of the first panel, all of it before that into the second cache.
  PanelProduct product_of(const Part& part, const Piece& now, const Piece& next, int64_t panel, float* sums,
                          bool add) const {
    const int64_t panels = part.panels.count(), at = panel - part.panels.first, steps = now.steps.count();
    const bool last = at + 1 == panels;
    const std::byte *strip = packed_strips_.at(now.strip, now.steps.first),
                    *next_strip = packed_strips_.at(next.strip, next.steps.first);
    PanelProduct product{};
    product.panel = part.block.at(panel, now.steps.first), product.strip = strip, product.steps = steps;
    product.sums = sums, product.add = add;
    product.next_panel =
        last ? part.block.at(part.panels.first, next.steps.first) : part.block.at(panel + 1, now.steps.first);
    product.next_sums = reinterpret_cast<const std::byte*>(sums + kSums);
    if (last) product.next_strip = {next_strip, divide_up(kStripLines, kPieceSteps)};
    else if (at == 0) product.next_strip = {strip + kStripTiles * kTileBytes, kStripLines};
    const int64_t lines = divide_up(kStripLines, panels);
    product.later_strip = {next_strip + at * steps * lines * kTileLine, lines};
    return product;
  }

  Matrix result_of(int64_t panel, int64_t strip) const {
    const int64_t panel_side = kTileSide, strip_side = kStripTiles * kTileSide;
    const int64_t rows = blocked_.is_left ? panel_side : strip_side,
                  columns = blocked_.is_left ? strip_side : panel_side;
    const int64_t row = (blocked_.is_left ? panel : strip) * rows,
                  column = (blocked_.is_left ? strip : panel) * columns;
    return block(c_, row, std::min(rows, c_.rows - row), column, std::min(columns, c_.columns - column));
  }

  // What a result's rows hold comes from memory: asked for in parts, while its sums are made.
  STARLING_INLINE static void fetch_result(const Matrix& result, Range rows) {
    const auto* data = static_cast<const char*>(result.data);
    const int64_t element = size_of(result.dtype);
    for (int64_t row = rows.first; row < rows.end; ++row)
      for (int64_t byte = 0; byte < result.columns * element; byte += kTileLine)
        __builtin_prefetch(data + row * result.row_stride * element + byte, 0, kFirstCache);
  }

  const Matrix c_;
  const Accumulate accumulate_;
  const TileOperand blocked_, striped_;
  const int64_t strips_, steps_;
  const Cut cut_;
  PackedPanels packed_strips_;
};

}  // namespace

void matmul_in_tiles(const Matrix& c, const ConstMatrix& a, const ConstMatrix& b, Accumulate accumulate, TileUnit unit,
                     int64_t threads) {
  TiledProduct product(c, a, b, accumulate, threads);
  unit == TileUnit::amx ? product.run<AmxRegisters>() : product.run<PlainRegisters>();
}

}  // namespace starling
