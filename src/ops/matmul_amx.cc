#include "ops/matmul_amx.h"

#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <numeric>
#include <vector>

#include "core/threads.h"
#include "ops/packed_tiles.h"
#include "ops/tile_registers.h"
#include "ops/vector_math.h"

#define STARLING_AVX512_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))

namespace starling {
namespace {

// The longer side of c is cut into blocks, the other into strips of two panels. For 192 of k a strip's two panels
// (24 KB) stay in the first cache while the panels of the block (12 KB each) pass by from the second, each for two
// products of 32 x 32. Both are packed: a block by the thread that needs it, all strips once, by all threads.
constexpr int64_t kStripPanels = 2, kPieceSteps = 6;
// Of a second cache of 2 MB a block takes 1.2 with all of its k, up to 1536; of longer k 12 panels by 768 of k, beside
// sums of 12 panels by 12 strips that wait for the next 768 (1.2 MB).
constexpr int64_t kBlockSteps = 576, kBlockPanels = 12, kChunkSteps = 24, kRangeStrips = 12;
constexpr int64_t kTileSums = kTileSide * kTileSide, kSums = 4 * kTileSums;  // of two panels: [2][2] tiles [16][16]
constexpr int64_t kLine = 64;
constexpr int kFirstCache = 3, kSecondCache = 2;  // of __builtin_prefetch

// What a product asks for while it runs, for those after it: lines of the cache at each of its steps.
constexpr int64_t kPanelLines = kStepBytes / kLine / kStripPanels;                     // half of a panel
constexpr int64_t kSumsLines = divide_up(kSums * sizeof(float) / kLine, kPieceSteps);  // all of them

struct Fetches {
  const std::byte *panel, *sums, *strip;  // to the first cache: of the block's next panel, the next sums, and, if not
                                          // null, of a panel that will stay there
  const std::byte* later;                 // to the second
  int64_t later_lines;

  // Inlined, as GCC takes a function that only asks for lines to have no effect, and leaves out its calls.
  STARLING_INLINE void make(int64_t step) const {
    fetch<kFirstCache>(panel, step, kPanelLines);
    fetch<kFirstCache>(sums, step, kSumsLines);
    if (strip) fetch<kFirstCache>(strip, step, kStepBytes / kLine);
    fetch<kSecondCache>(later, step, later_lines);
  }

  template <int cache>
  STARLING_INLINE static void fetch(const std::byte* from, int64_t step, int64_t lines) {
    const std::byte* first = from + step * lines * kLine;
    for (int64_t i = 0; i < lines; ++i) __builtin_prefetch(first + i * kLine, 0, cache);
  }
};

// sums (+)= left right, of one panel each.
struct PanelProduct {
  const std::byte *left, *right;
  int64_t steps;
  float* sums;
  bool add;
  Fetches fetches;
};

template <class Registers>
void multiply_panels(Registers& r, const PanelProduct& p) {
  constexpr Tile<0> sum00;
  constexpr Tile<1> sum01;
  constexpr Tile<2> sum10;
  constexpr Tile<3> sum11;
  constexpr Tile<4> left0;
  constexpr Tile<5> left1;
  constexpr Tile<6> right0;
  constexpr Tile<7> right1;
  const auto for_sums = [&](const auto& each) {
    each(sum00, p.sums), each(sum01, p.sums + kTileSums);
    each(sum10, p.sums + 2 * kTileSums), each(sum11, p.sums + 3 * kTileSums);
  };
  for_sums([&](auto tile, const float* sums) { p.add ? r.load(tile, sums) : r.zero(tile); });
  for (int64_t step = 0; step < p.steps; ++step) {
    const std::byte *left = p.left + step * kStepBytes, *right = p.right + step * kStepBytes;
    r.load(left0, left);
    r.load(right0, right);
    r.dot(sum00, left0, right0);
    r.load(right1, right + kTileBytes);
    r.dot(sum01, left0, right1);
    r.load(left1, left + kTileBytes);
    r.dot(sum10, left1, right0);
    r.dot(sum11, left1, right1);
    p.fetches.make(step);
  }
  for_sums([&](auto tile, float* sums) { r.store(tile, sums); });
}

// Of the sums of a row, in tiles of 16 columns.
const float* line_of(const float* sums, int64_t row, int64_t half) {
  return sums + (row / kTileSide * 2 + half) * kTileSums + row % kTileSide * kTileSide;
}

// c = or += the sums that are inside of it.
template <class T>
void write_sums_inside(const Matrix& c, const float* sums, Accumulate accumulate) {
  for (int64_t row = 0; row < c.rows; ++row)
    for (int64_t column = 0; column < c.columns; ++column) {
      T& to = static_cast<T*>(const_cast<void*>(c.data))[row * c.row_stride + column];
      const float sum = line_of(sums, row, column / kTileSide)[column % kTileSide];
      to = from_float<T>(accumulate == Accumulate::yes ? to_float(to) + sum : sum);
    }
}

template <Accumulate accumulate>
void write_all_sums(float* c, int64_t stride, const float* sums) {
  for (int64_t row = 0; row < kPanelSide; ++row)
    for (int64_t column = 0; column < kPanelSide; column += 8) {
      float* to = c + row * stride + column;
      const __m256 sum = _mm256_load_ps(line_of(sums, row, column / kTileSide) + column % kTileSide);
      _mm256_storeu_ps(to, accumulate == Accumulate::yes ? _mm256_add_ps(_mm256_loadu_ps(to), sum) : sum);
    }
}

// By the instruction that rounds 16, which every processor with AMX has.
STARLING_AVX512_BF16 void round_all_sums(bf16* c, int64_t stride, const float* sums) {
  for (int64_t row = 0; row < kPanelSide; ++row)
    for (int64_t half = 0; half < 2; ++half)
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(c + row * stride + half * kTileSide),
                          std::bit_cast<__m256i>(_mm512_cvtneps_pbh(_mm512_load_ps(line_of(sums, row, half)))));
}

void write_sums(const Matrix& c, const float* sums, Accumulate accumulate) {
  static const bool rounds = use_avx512() && __builtin_cpu_supports("avx512bf16");
  const bool all = c.rows == kPanelSide && c.columns == kPanelSide;
  if (c.dtype == DType::bf16) {
    if (!all || !rounds) return write_sums_inside<bf16>(c, sums, accumulate);
    return round_all_sums(static_cast<bf16*>(const_cast<void*>(c.data)), c.row_stride, sums);
  }
  if (!all) return write_sums_inside<float>(c, sums, accumulate);
  auto* to = static_cast<float*>(const_cast<void*>(c.data));
  accumulate == Accumulate::yes ? write_all_sums<Accumulate::yes>(to, c.row_stride, sums)
                                : write_all_sums<Accumulate::no>(to, c.row_stride, sums);
}

// How c is cut: blocks of the longer side, ranges of strips of the other, chunks of k.
struct Cut {
  int64_t blocks, ranges, chunks;
};

Cut cut_of(int64_t panels, int64_t strips, int64_t steps, int64_t threads) {
  const bool at_once = steps <= kBlockSteps / kBlockPanels;
  const int64_t block_panels = at_once ? kBlockSteps / std::max<int64_t>(1, steps) : kBlockPanels;
  Cut cut{divide_up(panels, block_panels), at_once ? 1 : divide_up(strips, kRangeStrips),
          at_once ? 1 : divide_up(steps, kChunkSteps)};
  const int64_t most = panels * strips;
  while (cut.blocks * cut.ranges < std::min(threads, most)) {
    const bool tall = panels * cut.ranges >= strips * kStripPanels * cut.blocks;
    if (cut.ranges == strips || (tall && cut.blocks < panels)) cut.blocks = std::min(2 * cut.blocks, panels);
    else cut.ranges = std::min(2 * cut.ranges, strips);
  }
  // As many for each thread as for the others.
  const int64_t unit = threads / std::gcd(threads, cut.ranges), even = divide_up(cut.blocks, unit) * unit;
  if (even <= panels) cut.blocks = even;
  return cut;
}

// A thread's own memory, which only grows.
struct Buffers {
  std::vector<AmxLine> block, sums;

  static std::byte* grown(std::vector<AmxLine>& lines, int64_t bytes) {
    lines.resize(std::max(lines.size(), static_cast<size_t>(bytes / kLine)));
    return reinterpret_cast<std::byte*>(lines.data());
  }
};

class TiledProduct {
 public:
  TiledProduct(const Matrix& c, const ConstMatrix& a, const ConstMatrix& b, Accumulate accumulate, int64_t threads)
      : c_(c),
        accumulate_(accumulate),
        blocked_(c.rows >= c.columns ? left_operand(a) : right_operand(b)),
        striped_(c.rows >= c.columns ? right_operand(b) : left_operand(a)),
        strips_(divide_up(striped_.panels(), kStripPanels)),
        steps_(blocked_.steps()),
        cut_(cut_of(blocked_.panels(), strips_, steps_, threads)) {}

  template <class Registers>
  void run() {
    thread_local std::vector<AmxLine> packed;
    strip_panels_ = {Buffers::grown(packed, striped_.panels() * steps_ * kStepBytes), 0, 0, steps_};
    pack_strips();
    SharedItems items(cut_.blocks * cut_.ranges, 1);
    parallel_for(items.ranges(), 1, [&](int64_t range, int64_t) {
      Registers registers;
      thread_local Buffers buffers;
      for (int64_t item; (item = items.take(range)) >= 0;) multiply_item(registers, buffers, item);
    });
  }

 private:
  // A strip with 192 of k or fewer: what stays in the first cache while a block passes by.
  struct Piece {
    int64_t strip;
    Range panels, steps;
  };
  // What a thread works at: a block and a range of strips with a chunk of k.
  struct Part {
    Range panels, strips, steps;
    PackedPanels block;
    float* sums;  // [strip, if they wait for the next chunk][block's panel][strip's panel] kSums
    bool first, last;

    int64_t pieces_of_strip() const { return std::max<int64_t>(1, divide_up(steps.count(), kPieceSteps)); }
    int64_t pieces() const { return strips.count() * pieces_of_strip(); }
  };

  void pack_strips() {
    constexpr int64_t kPanels = 4;
    const int64_t groups = divide_up(striped_.panels(), kPanels), chunks = cut_.chunks;
    SharedItems items(groups * chunks, 1);
    parallel_for(items.ranges(), 1, [&](int64_t range, int64_t) {
      for (int64_t item; (item = items.take(range)) >= 0;)
        pack_panels(strip_panels_, striped_, part_of({0, striped_.panels()}, item / chunks, groups),
                    part_of({0, steps_}, item % chunks, chunks));
    });
  }

  template <class Registers>
  void multiply_item(Registers& registers, Buffers& buffers, int64_t item) {
    Part part{};
    part.panels = part_of({0, blocked_.panels()}, item / cut_.ranges, cut_.blocks);
    part.strips = part_of({0, strips_}, item % cut_.ranges, cut_.ranges);
    const int64_t waiting_strips = cut_.chunks > 1 ? part.strips.count() : 1;
    const int64_t sums = waiting_strips * part.panels.count() * kStripPanels * kSums;
    part.sums = reinterpret_cast<float*>(Buffers::grown(buffers.sums, sums * int64_t{sizeof(float)}));
    for (int64_t chunk = 0; chunk < cut_.chunks; ++chunk) {
      part.steps = part_of({0, steps_}, chunk, cut_.chunks);
      part.first = chunk == 0, part.last = chunk + 1 == cut_.chunks;
      const int64_t bytes = part.panels.count() * part.steps.count() * kStepBytes;
      part.block = {Buffers::grown(buffers.block, bytes), part.panels.first, part.steps.first, part.steps.count()};
      pack_panels(part.block, blocked_, part.panels, part.steps);
      for (int64_t piece = 0; piece < part.pieces(); ++piece) multiply_piece(registers, part, piece);
    }
  }

  Piece piece_of(const Part& part, int64_t index) const {
    const int64_t of_strip = part.pieces_of_strip(), strip = part.strips.first + index / of_strip,
                  first = strip * kStripPanels;
    return {strip,
            {first, std::min(first + kStripPanels, striped_.panels())},
            part_of(part.steps, index % of_strip, of_strip)};
  }

  // The panels of a block with the one or two of a strip. Sums are written to c after the next product: what a tile
  // instruction stored cannot be read back at once.
  template <class Registers>
  void multiply_piece(Registers& registers, const Part& part, int64_t index) {
    const Piece now = piece_of(part, index), next = piece_of(part, std::min(index + 1, part.pieces() - 1));
    const int64_t pieces = part.pieces_of_strip(), in_strip = index % pieces;
    const bool begins = part.first && in_strip == 0, ends = part.last && in_strip + 1 == pieces;
    float *sums = part.sums, *made = nullptr;
    Matrix result;
    if (cut_.chunks > 1) sums += (now.strip - part.strips.first) * part.panels.count() * kStripPanels * kSums;
    for (int64_t panel = part.panels.first; panel < part.panels.end; ++panel)
      for (int64_t other = now.panels.first; other < now.panels.end; ++other, sums += kSums) {
        const Matrix next_result = result_of(panel, other);
        if (part.last) fetch_result(next_result, part_of({0, next_result.rows}, in_strip, pieces));
        PanelProduct product = product_of(part, now, panel, other);
        product.sums = sums, product.add = !begins;
        product.fetches = fetches_of(product, part, now, next, panel, other);
        multiply_panels(registers, product);
        if (made) write_sums(result, made, accumulate_);
        result = next_result, made = ends ? sums : nullptr;
      }
    if (made) write_sums(result, made, accumulate_);
  }

  PanelProduct product_of(const Part& part, const Piece& now, int64_t panel, int64_t other) const {
    const std::byte *passing = part.block.at(panel, now.steps.first),
                    *staying = strip_panels_.at(other, now.steps.first);
    PanelProduct product{};
    product.left = blocked_.is_left ? passing : staying;
    product.right = blocked_.is_left ? staying : passing;
    product.steps = now.steps.count();
    return product;
  }

  Matrix result_of(int64_t panel, int64_t other) const {
    const int64_t row = (blocked_.is_left ? panel : other) * kPanelSide,
                  column = (blocked_.is_left ? other : panel) * kPanelSide;
    return block(c_, row, std::min(kPanelSide, c_.rows - row), column, std::min(kPanelSide, c_.columns - column));
  }

  // What a result's rows hold comes from memory: asked for in parts, while its sums are made.
  STARLING_INLINE static void fetch_result(const Matrix& result, Range rows) {
    const auto* data = static_cast<const char*>(result.data);
    const int64_t element = size_of(result.dtype);
    for (int64_t row = rows.first; row < rows.end; ++row)
      for (int64_t byte = 0; byte < result.columns * element; byte += kLine)
        __builtin_prefetch(data + row * result.row_stride * element + byte, 0, kFirstCache);
  }

  // Of a block's next panel one half with each of the strip's panels; of what stays in the first cache for the next
  // piece the first panel at the end of this one, the second at its own beginning, and before that all of it, a part
  // with each panel of the block, into the second cache.
  Fetches fetches_of(const PanelProduct& product, const Part& part, const Piece& now, const Piece& next, int64_t panel,
                     int64_t other) const {
    const int64_t panels = part.panels.count(), at_panel = panel - part.panels.first,
                  at_other = other - now.panels.first, steps = product.steps;
    const bool last_panel = at_panel + 1 == panels, last_other = other + 1 == now.panels.end;
    Fetches fetches{};
    fetches.panel =
        last_panel ? part.block.at(part.panels.first, next.steps.first) : part.block.at(panel + 1, now.steps.first);
    fetches.panel += at_other * steps * kPanelLines * kLine;
    fetches.sums = reinterpret_cast<const std::byte*>(product.sums + kSums);
    if (last_panel && last_other) fetches.strip = strip_panels_.at(next.panels.first, next.steps.first);
    else if (at_panel == 0 && !last_other) fetches.strip = strip_panels_.at(other + 1, now.steps.first);
    fetches.later_lines = divide_up(kStepBytes / kLine, panels);
    fetches.later = strip_panels_.at(std::min(next.panels.first + at_other, next.panels.end - 1), next.steps.first) +
                    at_panel * steps * fetches.later_lines * kLine;
    return fetches;
  }

  const Matrix c_;
  const Accumulate accumulate_;
  const TileOperand blocked_, striped_;
  const int64_t strips_, steps_;
  const Cut cut_;
  PackedPanels strip_panels_;
};

}  // namespace

void matmul_in_tiles(const Matrix& c, const ConstMatrix& a, const ConstMatrix& b, Accumulate accumulate, TileUnit unit,
                     int64_t threads) {
  TiledProduct product(c, a, b, accumulate, threads);
  unit == TileUnit::amx ? product.run<AmxRegisters>() : product.run<PlainRegisters>();
}

}  // namespace starling
