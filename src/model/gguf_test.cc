#include "model/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "core/error.h"
#include "core/file.h"

namespace starling {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::vector<float> decode(GgufType type, const std::vector<uint8_t>& block) {
  const GgufBlock format = gguf_block(type);
  EXPECT_EQ(block.size(), format.bytes);
  std::vector<float> out(static_cast<size_t>(format.values));
  decode_gguf_blocks(type, std::as_bytes(std::span(block)), out);
  return out;
}

constexpr uint8_t kOneLow = 0x00, kOneHigh = 0x3c;    // f16 1.0
constexpr uint8_t kHalfLow = 0x00, kHalfHigh = 0x38;  // f16 0.5

TEST(GgufBlocks, Q8_0IsScaleTimesSignedBytes) {
  std::vector<uint8_t> block(34);
  block[0] = kHalfLow, block[1] = kHalfHigh;
  block[2] = 6, block[3] = 0xff, block[33] = 0x80;
  const std::vector<float> values = decode(GgufType::q8_0, block);
  EXPECT_EQ(values[0], 3.0f);
  EXPECT_EQ(values[1], -0.5f);
  EXPECT_EQ(values[31], -64.0f);
}

TEST(GgufBlocks, Q4_0TakesItsSecondHalfFromHighNibbles) {
  std::vector<uint8_t> block(18, 0x88);  // 8 stands for zero
  block[0] = kOneLow, block[1] = kOneHigh;
  block[2] = 0xf1;
  const std::vector<float> values = decode(GgufType::q4_0, block);
  EXPECT_EQ(values[0], -7.0f);
  EXPECT_EQ(values[16], 7.0f);
  EXPECT_EQ(values[1], 0.0f);
}

TEST(GgufBlocks, Q2_KHasAScaleAndAMinimumForSixteenValues) {
  std::vector<uint8_t> block(84);
  block[80] = kOneLow, block[81] = kOneHigh;    // d = 1
  block[82] = kHalfLow, block[83] = kHalfHigh;  // dmin = 0.5
  block[0] = 0x23;                              // sub-block 0: sc 3, m 2
  block[3] = 0x05;                              // sub-block 3 (values 48-63): sc 5, m 0
  block[9] = 0x10;                              // sub-block 9 (values 144-159): sc 0, m 1
  block[16] = 0b10;                             // value 0: q = 2
  block[16 + 17] = 0b1100;                      // value 17 + 32 = 49: q = 3
  const std::vector<float> values = decode(GgufType::q2_k, block);
  EXPECT_EQ(values[0], 3.0f * 2 - 0.5f * 2);
  EXPECT_EQ(values[1], -0.5f * 2);
  EXPECT_EQ(values[49], 15.0f);
  EXPECT_EQ(values[150], -0.5f);
}

// Sub-block 0: sc 10, m 20 from bytes 0 and 4. Sub-block 5: sc = 0x3 | 2 << 4 = 35 from the low nibble of byte 9 and
// the top of byte 1; m = 0x7 | 1 << 4 = 23 from the high nibble of byte 9 and the top of byte 5.
void set_k4_scales(uint8_t* scales) {
  scales[0] = 10, scales[4] = 20;
  scales[9] = 0x73, scales[1] = 2 << 6, scales[5] = 1 << 6;
}

TEST(GgufBlocks, Q4_KUnpacksItsSixBitScales) {
  std::vector<uint8_t> block(144);
  block[0] = kHalfLow, block[1] = kHalfHigh;  // d = 0.5
  block[2] = kOneLow, block[3] = kOneHigh;    // dmin = 1
  set_k4_scales(&block[4]);
  block[16] = 0x0d;               // value 0: q = 13
  block[16 + 2 * 32 + 3] = 0x90;  // sub-block 5, value 3: q = 9
  const std::vector<float> values = decode(GgufType::q4_k, block);
  EXPECT_EQ(values[0], 0.5f * 10 * 13 - 20);
  EXPECT_EQ(values[5 * 32 + 3], 0.5f * 35 * 9 - 23);
}

TEST(GgufBlocks, Q5_KAddsTheFifthBit) {
  std::vector<uint8_t> block(176);
  block[0] = kHalfLow, block[1] = kHalfHigh;
  block[2] = kOneLow, block[3] = kOneHigh;
  set_k4_scales(&block[4]);
  block[16 + 3] = 1 << 5;  // fifth bit of value 3 of sub-block 5
  block[48 + 2 * 32 + 3] = 0x90;
  const std::vector<float> values = decode(GgufType::q5_k, block);
  EXPECT_EQ(values[0], -20.0f);
  EXPECT_EQ(values[5 * 32 + 3], 0.5f * 35 * (9 + 16) - 23);
}

TEST(GgufBlocks, Q6_KJoinsLowAndHighBitsAndIsCentredAt32) {
  std::vector<uint8_t> block(210);
  block[208] = kHalfLow, block[209] = kHalfHigh;
  for (int i = 0; i < 16; ++i) block[192 + i] = 1;
  block[192 + 15] = 0xfe;             // last sub-block: scale -2
  block[0] = 0x05;                    // value 0: low 5
  block[128] = 0b11;                  // value 0: high 3 -> 53 - 32 = 21
  block[64 + 32 + 31] = 0x40;         // value 255: low 4 (half 1, row 3, l 31)
  block[128 + 32 + 31] = 0b01000000;  // high 1 -> 20 - 32 = -12
  const std::vector<float> values = decode(GgufType::q6_k, block);
  EXPECT_EQ(values[0], 10.5f);
  EXPECT_EQ(values[1], -16.0f);
  EXPECT_EQ(values[255], 0.5f * -2 * -12);
}

TEST(GgufBlocks, Iq2XxsIsAGridPointWithSignsAndAnOddScale) {
  std::vector<uint8_t> block(66);
  block[0] = kOneLow, block[1] = kOneHigh;
  block[2] = 1;                                 // point 1 of the grid: 43, then seven times 8
  const uint32_t word = 0b0000011u | 3u << 28;  // minus on values 0 and 1; scale (2*3+1)/8
  std::memcpy(&block[6], &word, 4);
  block[10 + 1] = 255;  // sub-block 1, second point: 0xa904 = 8 25 8 8 25 43 43 43 from the low bits up
  const uint32_t odd = 0b0000001u << 7;  // one minus: the eighth sign makes it even
  std::memcpy(&block[14], &odd, 4);
  const std::vector<float> values = decode(GgufType::iq2_xxs, block);
  EXPECT_EQ(values[0], -43.0f * 7 / 8);
  EXPECT_EQ(values[1], -8.0f * 7 / 8);
  EXPECT_EQ(values[2], 8.0f * 7 / 8);
  const float eighth = 1.0f / 8;
  EXPECT_THAT(std::vector<float>(values.begin() + 40, values.begin() + 48),
              testing::ElementsAre(-8 * eighth, 25 * eighth, 8 * eighth, 8 * eighth, 25 * eighth, 43 * eighth,
                                   43 * eighth, -43 * eighth));
}

TEST(GgufBlocks, Iq2XxsCodesTimesScalesAreItsValues) {
  std::mt19937 random(3);
  std::vector<uint8_t> blocks(2 * 66);
  for (uint8_t& byte : blocks) byte = static_cast<uint8_t>(random());
  blocks[1] = kOneHigh, blocks[67] = kHalfHigh;  // finite scales
  std::vector<float> values(512), scales(16);
  std::vector<int8_t> codes(512);
  decode_gguf_blocks(GgufType::iq2_xxs, std::as_bytes(std::span(blocks)), values);
  decode_iq2_xxs_codes(std::as_bytes(std::span(blocks)), codes, scales);
  for (int i = 0; i < 512; ++i) EXPECT_EQ(values[i], scales[i / 32] * static_cast<float>(codes[i]));
}

TEST(GgufBlocks, APartOfABlockIsAShapeError) {
  std::vector<std::byte> block(34);
  std::vector<float> out(31);
  EXPECT_THROW(decode_gguf_blocks(GgufType::q8_0, block, out), ShapeError);
  EXPECT_THROW(decode_gguf_blocks(static_cast<GgufType>(99), block, out), DataError);
}

// Builds small GGUF files.
struct Writer {
  std::string data;
  template <class T>
  Writer& put(T value) {
    data.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Writer& text(const std::string& value) {
    put<uint64_t>(value.size());
    data += value;
    return *this;
  }
};

std::string sample_file(uint64_t second_offset = 64, uint32_t type = 0) {
  Writer w;
  w.data = "GGUF";
  w.put<uint32_t>(3).put<uint64_t>(2).put<uint64_t>(4);
  w.text("general.architecture").put<uint32_t>(8).text("llama");
  w.text("llama.block_count").put<uint32_t>(4).put<uint32_t>(22);
  w.text("llama.eps").put<uint32_t>(6).put<float>(0.5f);
  w.text("tokens").put<uint32_t>(9).put<uint32_t>(8).put<uint64_t>(2).text("a").text("b");
  w.text("first").put<uint32_t>(2).put<uint64_t>(3).put<uint64_t>(2).put<uint32_t>(0).put<uint64_t>(0);
  w.text("second").put<uint32_t>(1).put<uint64_t>(4).put<uint32_t>(type).put<uint64_t>(second_offset);
  w.data.append((32 - w.data.size() % 32) % 32, '\0');
  for (int i = 0; i < 6; ++i) w.put<float>(static_cast<float>(i));
  w.data.append(40, '\0');
  for (int i = 0; i < 4; ++i) w.put<float>(10.0f + static_cast<float>(i));
  return w.data;
}

struct GgufTest : testing::Test {
  fs::path folder = fs::path(testing::TempDir()) / ("gguf_" + std::to_string(getpid()));
  fs::path path = folder / "model.gguf";
  void SetUp() override { fs::create_directories(folder); }
  void TearDown() override { fs::remove_all(folder); }
  std::string error_of(const std::string& content) {
    write_file_atomic(path, content);
    try {
      GgufFile file(path);
      return "accepted";
    } catch (const DataError& error) {
      return error.what();
    }
  }
};

TEST_F(GgufTest, MetadataAndTensorsAreRead) {
  write_file_atomic(path, sample_file());
  const GgufFile file(path);
  EXPECT_EQ(file.text("general.architecture"), "llama");
  EXPECT_EQ(file.integer("llama.block_count"), 22);
  EXPECT_EQ(file.number("llama.eps"), 0.5);
  EXPECT_THAT(file.list<std::string>("tokens"), testing::ElementsAre("a", "b"));
  EXPECT_EQ(file.integer("absent", 7), 7);
  EXPECT_THROW(file.integer("absent"), DataError);
  EXPECT_THROW(file.integer("general.architecture"), DataError);
  const GgufTensor& first = file.tensors().at("first");
  EXPECT_THAT(first.shape, testing::ElementsAre(2, 3));  // the file says 3 x 2, columns first
  std::vector<float> row(3);
  decode_gguf_blocks(first.type, first.bytes.subspan(12, 12), row);
  EXPECT_THAT(row, testing::ElementsAre(3, 4, 5));
  float last;
  std::memcpy(&last, file.tensors().at("second").bytes.data() + 12, 4);
  EXPECT_EQ(last, 13.0f);
}

TEST_F(GgufTest, WhatDoesNotFitIsAnErrorThatNamesIt) {
  EXPECT_THAT(error_of("GGML" + sample_file().substr(4)), HasSubstr("does not start with GGUF"));
  std::string version = sample_file();
  version[4] = 1;
  EXPECT_THAT(error_of(version), HasSubstr("version 1"));
  EXPECT_THAT(error_of(sample_file(63)), HasSubstr("second: offset 63 is not aligned"));
  EXPECT_THAT(error_of(sample_file(0)), HasSubstr("overlaps"));
  EXPECT_THAT(error_of(sample_file(uint64_t{1} << 40)), HasSubstr("outside"));
  EXPECT_THAT(error_of(sample_file(64, 11)), HasSubstr("second: type 11 is not supported"));
  EXPECT_THAT(error_of(sample_file(64, 8)), HasSubstr("not whole Q8_0 blocks"));
}

TEST_F(GgufTest, EveryTruncationIsADataError) {
  const std::string whole = sample_file();
  for (size_t size = 0; size < whole.size(); ++size) EXPECT_NE(error_of(whole.substr(0, size)), "accepted") << size;
}

TEST_F(GgufTest, ABitFlipIsReadOrIsADataError) {
  const std::string whole = sample_file();
  for (size_t bit = 0; bit < whole.size() * 8; bit += 3) {
    std::string flipped = whole;
    flipped[bit / 8] ^= static_cast<char>(1 << bit % 8);
    error_of(flipped);  // must neither crash nor throw anything else
  }
}

}  // namespace
}  // namespace starling
