#include "model/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "core/error.h"
#include "core/file.h"
#include "model/gguf_encode.h"
#include "model/gguf_writer.h"

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

TEST(GgufBlocks, Q4_1AndQ5_1AddAMinimumAndQ5HasAFifthBit) {
  std::vector<uint8_t> four(20), five(24), centred(22);
  for (std::vector<uint8_t>* block : {&four, &five, &centred}) (*block)[0] = kHalfLow, (*block)[1] = kHalfHigh;
  four[2] = five[2] = kOneLow, four[3] = five[3] = kOneHigh;  // m = 1
  four[4] = 0x52;                                             // values 0: 2, 16: 5
  EXPECT_EQ(decode(GgufType::q4_1, four)[0], 2.0f);
  EXPECT_EQ(decode(GgufType::q4_1, four)[16], 3.5f);
  EXPECT_EQ(decode(GgufType::q4_1, four)[1], 1.0f);
  five[4] = 0x01, five[6] = 0x02;  // fifth bits of the values 0 and 17
  five[8] = 0x03, five[9] = 0x40;  // low bits of value 0: 3, of value 17: 4
  EXPECT_EQ(decode(GgufType::q5_1, five)[0], 0.5f * 19 + 1);
  EXPECT_EQ(decode(GgufType::q5_1, five)[17], 0.5f * 20 + 1);
  centred[2] = 0x01, centred[6] = 0x03;
  EXPECT_EQ(decode(GgufType::q5_0, centred)[0], 0.5f * (19 - 16));
  EXPECT_EQ(decode(GgufType::q5_0, centred)[1], 0.5f * -16);
}

TEST(GgufBlocks, Q3_KJoinsTwoBitsAThirdAndASixBitScale) {
  std::vector<uint8_t> block(110);
  block[108] = kHalfLow, block[109] = kHalfHigh;
  block[96 + 0] = 0x05;          // scale 0: low 5; scale 8: low 0
  block[96 + 8] = 0b10;          // scale 0: high 2 -> 37 - 32 = 5
  block[96 + 5] = 0x70;          // scale 13: low 7
  block[96 + 9] = 0b11 << 6;     // scale 13 = 1 + 4 * 3: high 3 -> 55 - 32 = 23
  block[32] = 0b10;              // value 0: 2
  block[0] = 0x01;               // value 0 has its third bit
  block[32 + 32 + 16] = 3 << 4;  // value 208 = 128 + 2 * 32 + 16: 3, in sub-block 13
  const std::vector<float> values = decode(GgufType::q3_k, block);
  EXPECT_EQ(values[0], 0.5f * 5 * 2);
  EXPECT_EQ(values[1], 0.5f * 5 * -4);
  EXPECT_EQ(values[208], 0.5f * 23 * (3 - 4));
}

TEST(GgufBlocks, Iq4LooksItsValuesUp) {
  std::vector<uint8_t> block(18);
  block[0] = kHalfLow, block[1] = kHalfHigh;
  block[2] = 0xf8;
  const std::vector<float> values = decode(GgufType::iq4_nl, block);
  EXPECT_EQ(values[0], 0.5f);
  EXPECT_EQ(values[16], 0.5f * 113);
  EXPECT_EQ(values[1], 0.5f * -127);

  std::vector<uint8_t> wide(136);
  wide[0] = kHalfLow, wide[1] = kHalfHigh;
  wide[3] = 0b10;               // high bits of scale 4: 2
  wide[4 + 2] = 0x09;           // low bits of scale 4: 9 -> 41 - 32 = 9
  wide[8 + 16 * 4 + 1] = 0x8f;  // sub-block 4: value 1 takes entry 15, value 17 entry 8
  const std::vector<float> scaled = decode(GgufType::iq4_xs, wide);
  EXPECT_EQ(scaled[4 * 32 + 1], 0.5f * 9 * 113);
  EXPECT_EQ(scaled[4 * 32 + 17], 0.5f * 9 * 1);
  EXPECT_EQ(scaled[0], 0.5f * -32 * -127);
}

TEST(GgufBlocks, Iq2XsAndIq3XxsAreGridPointsWithSigns) {
  std::vector<uint8_t> two(74);
  two[0] = kOneLow, two[1] = kOneHigh;
  const uint16_t word = 1 | 1 << 9;  // point 1 (43 and seven times 8), minus on value 0 and so on value 7
  std::memcpy(&two[2 + 2 * 2], &word, 2);
  two[66] = 0x30;  // values 16 to 31: s = 3
  const std::vector<float> values = decode(GgufType::iq2_xs, two);
  EXPECT_EQ(values[16], -43.0f * 7 / 8);
  EXPECT_EQ(values[17], 8.0f * 7 / 8);
  EXPECT_EQ(values[23], -8.0f * 7 / 8);
  EXPECT_EQ(values[0], 8.0f / 8);

  std::vector<uint8_t> three(98);
  three[0] = kOneLow, three[1] = kOneHigh;
  three[2 + 1] = 1;                              // values 4 to 7: point 1 = 20 4 4 4
  const uint32_t signs = 0b0010000u | 2u << 28;  // minus on value 4 and so on value 7; s = 2
  std::memcpy(&three[66], &signs, 4);
  const std::vector<float> threes = decode(GgufType::iq3_xxs, three);
  EXPECT_EQ(threes[0], 4.0f * 5 / 4);
  EXPECT_EQ(threes[4], -20.0f * 5 / 4);
  EXPECT_EQ(threes[7], -4.0f * 5 / 4);
}

// Half a step of the format: the group's largest value over 127 for 8 bits, over 8 for Q4_0, the range over 15 for
// Q4_K, and what rounding the scales to f16 and 6 bits adds.
// 256 blocks of every type with arbitrary bits beside those that an independent reader makes of them: gguf-py 0.15
// (`gguf.quants.dequantize`), by the FNV-1a hash of the values, which are exact where all f16 scales are 1. It meets
// every point of the grids.
TEST(GgufBlocks, ArbitraryBitsAreReadAsGgufPyReadsThem) {
  struct Case {
    GgufType type;
    std::vector<size_t> scales;  // where a block's f16 numbers lie
    uint64_t hash;
  };
  const std::vector<Case> cases{
      {GgufType::q4_0, {0}, 0xcd4b53d351ce07b8u},    {GgufType::q4_1, {0, 2}, 0x269d0e263bbd04b8u},
      {GgufType::q5_0, {0}, 0x5cc8c84dd1b08d95u},    {GgufType::q5_1, {0, 2}, 0xb442ed133fff8b3au},
      {GgufType::q8_0, {0}, 0x084c945c89fc6cc0u},    {GgufType::q2_k, {80, 82}, 0x7d08bbc7e11e5e70u},
      {GgufType::q3_k, {108}, 0x18e0a9778c488541u},  {GgufType::q4_k, {0, 2}, 0xe8e5de0f5a235048u},
      {GgufType::q5_k, {0, 2}, 0x5843e89fcfd5127du}, {GgufType::q6_k, {208}, 0x150fdc2c06c81996u},
      {GgufType::iq2_xxs, {0}, 0x412fcfba21bb6017u}, {GgufType::iq2_xs, {0}, 0xa3649f75fd8d0a68u},
      {GgufType::iq2_s, {0}, 0x72cd945838cffcc4u},   {GgufType::iq3_s, {0}, 0xaf0aff08af237ec5u},
      {GgufType::iq3_xxs, {0}, 0x6077f8ed758af481u}, {GgufType::iq4_nl, {0}, 0x078a8bf21d2e6118u},
      {GgufType::iq4_xs, {0}, 0x421300759117907bu},
  };
  for (const auto& [type, scales, hash] : cases) {
    const size_t size = gguf_block(type).bytes;
    std::vector<uint8_t> blocks(256 * size);
    uint64_t state = 1;
    for (uint8_t& byte : blocks) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      byte = static_cast<uint8_t>(state >> 56);
    }
    for (size_t block = 0; block < blocks.size(); block += size)
      for (const size_t at : scales) blocks[block + at] = kOneLow, blocks[block + at + 1] = kOneHigh;
    std::vector<float> values(static_cast<size_t>(256 * gguf_block(type).values));
    decode_gguf_blocks(type, std::as_bytes(std::span(blocks)), values);
    for (float& value : values) value += 0.0f;  // -0 is 0
    uint64_t got = 0xcbf29ce484222325u;
    for (const std::byte byte : std::as_bytes(std::span(values)))
      got = (got ^ static_cast<uint64_t>(byte)) * 0x100000001b3u;
    EXPECT_EQ(got, hash) << gguf_block(type).name;
  }
}

TEST(GgufEncode, WhatIsWrittenIsReadWithinHalfAStep) {
  std::mt19937 random(4);
  std::normal_distribution<float> normal;
  std::vector<float> values(512);
  for (float& value : values) value = normal(random);
  for (const auto& [type, step] :
       {std::pair{GgufType::f32, 0.0f}, std::pair{GgufType::f16, 0.002f}, std::pair{GgufType::bf16, 0.016f},
        std::pair{GgufType::q8_0, 0.03f}, std::pair{GgufType::q4_0, 0.45f}, std::pair{GgufType::q4_k, 0.45f}}) {
    const GgufBlock format = gguf_block(type);
    std::vector<std::byte> blocks(values.size() / static_cast<size_t>(format.values) * format.bytes);
    std::vector<float> read(values.size());
    encode_gguf_blocks(type, values, blocks);
    decode_gguf_blocks(type, blocks, read);
    for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(read[i], values[i], step / 2) << format.name << " " << i;
  }
  std::vector<std::byte> short_blocks(1);
  EXPECT_THROW(encode_gguf_blocks(GgufType::q8_0, values, short_blocks), ShapeError);
  EXPECT_THROW(encode_gguf_blocks(GgufType::iq2_xxs, values, short_blocks), DataError);
  values[7] = NAN;
  std::vector<std::byte> blocks(values.size() * 4);
  EXPECT_THROW(encode_gguf_blocks(GgufType::f32, values, blocks), DataError);
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
  EXPECT_THAT(error_of(sample_file(64, 9)), HasSubstr("second: type 9 is not supported"));
  EXPECT_THAT(error_of(sample_file(64, 8)), HasSubstr("not whole Q8_0 blocks"));
}

TEST_F(GgufTest, AWrittenFileIsReadBack) {
  const std::vector<float> weights{1, -2, 3, -4, 5, -6};
  const auto row = [&](int64_t index, std::span<float> out) {
    std::copy_n(weights.begin() + index * static_cast<int64_t>(out.size()), out.size(), out.begin());
  };
  write_gguf(path,
             {{"b", true},
              {"n", int64_t{-3}},
              {"u", int64_t{7}},
              {"x", 0.25},
              {"t", std::string("text")},
              {"l", std::vector<std::string>{"p", "q"}},
              {"i", std::vector<int64_t>{4, -5}},
              {"d", std::vector<double>{0.5}}},
             {{"m", GgufType::f32, {2, 3}, row}, {"v", GgufType::f16, {6}, row}});
  const GgufFile file(path);
  EXPECT_EQ(std::get<bool>(file.metadata().at("b")), true);
  EXPECT_EQ(file.integer("n"), -3);
  EXPECT_EQ(file.integer("u"), 7);
  EXPECT_EQ(file.number("x"), 0.25);
  EXPECT_EQ(file.text("t"), "text");
  EXPECT_THAT(file.list<std::string>("l"), testing::ElementsAre("p", "q"));
  EXPECT_THAT(file.list<int64_t>("i"), testing::ElementsAre(4, -5));
  EXPECT_THAT(file.list<double>("d"), testing::ElementsAre(0.5));
  EXPECT_THAT(file.tensors().at("m").shape, testing::ElementsAre(2, 3));
  for (const char* name : {"m", "v"}) {
    std::vector<float> read(6);
    decode_gguf_blocks(file.tensors().at(name).type, file.tensors().at(name).bytes, read);
    EXPECT_EQ(read, weights) << name;
  }
  EXPECT_THROW(write_gguf(path, {}, {{"m", GgufType::q8_0, {2, 3}, row}}), ShapeError);
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
