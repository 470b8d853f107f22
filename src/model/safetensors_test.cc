#include "model/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "core/error.h"
#include "core/file.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

struct SafetensorsTest : testing::Test {
  fs::path folder = fs::path(testing::TempDir()) / ("safetensors_" + std::to_string(getpid()));
  fs::path path = folder / "model.safetensors";
  void SetUp() override { fs::create_directories(folder); }
  void TearDown() override { fs::remove_all(folder); }

  void write_sample() {
    const std::vector<float> weights{1, 2, 3, 4, 5, 6};
    const std::vector<int64_t> steps{42};
    write_safetensors(path,
                      std::vector<TensorToWrite>{{"b.weight", "F32", {2, 3}, weights.data(), 24},
                                                 {"a.step", "I64", {1}, steps.data(), 8},
                                                 {"empty", "F32", {0, 4}, nullptr, 0}},
                      {{"format", "pt"}});
  }
  void write_raw(const std::string& header, size_t data_bytes) {
    const uint64_t length = header.size();
    std::string file(reinterpret_cast<const char*>(&length), 8);
    write_file_atomic(path, file + header + std::string(data_bytes, 'x'));
  }
};

TEST_F(SafetensorsTest, WhatIsWrittenReadsBack) {
  write_sample();
  const SafetensorsFile file(path);
  EXPECT_EQ(file.tensors().size(), 3u);
  EXPECT_EQ(file.metadata().at("format"), "pt");
  const TensorInfo& weight = file.tensor("b.weight");
  EXPECT_EQ(weight.dtype, "F32");
  EXPECT_THAT(weight.shape, testing::ElementsAre(2, 3));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(weight.bytes.data()) % 64, 0u);
  float values[6];
  std::memcpy(values, weight.bytes.data(), sizeof values);
  EXPECT_THAT(values, testing::ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_TRUE(file.tensor("empty").bytes.empty());
  EXPECT_THROW(file.tensor("absent"), DataError);
}

TEST_F(SafetensorsTest, AMalformedHeaderIsAnErrorThatNamesTheFile) {
  struct Case {
    const char* header;
    size_t data_bytes;
    const char* message;
  };
  const Case cases[] = {
      {"[]", 0, "not a JSON object"},
      {"{", 0, "not a JSON object"},
      {R"({"a":{"dtype":"F32","shape":[1]}})", 4, "a: needs dtype"},
      {R"({"a":{"dtype":"Q7","shape":[1],"data_offsets":[0,4]}})", 4, "unknown dtype"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, "do not fit"},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4, "non-negative"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}})", 4, "outside"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4, "outside"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]}})", 4, "do not fit"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
       4, "share the data byte 0"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, "covers the data bytes 0 to 4"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 5, "covers the data bytes 4 to 5"},
      {R"({"__metadata__":{"a":1}})", 0, "not text"},
  };
  for (const Case& c : cases) {
    write_raw(c.header, c.data_bytes);
    try {
      SafetensorsFile file(path);
      ADD_FAILURE() << "accepted " << c.header;
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr(path.string()));
      EXPECT_THAT(error.what(), testing::HasSubstr(c.message)) << c.header;
    }
  }
}

TEST_F(SafetensorsTest, EveryTruncationIsADataError) {
  write_sample();
  const std::string whole = read_file(path);
  for (size_t size = 0; size < whole.size(); ++size) {
    write_file_atomic(path, whole.substr(0, size));
    EXPECT_THROW(SafetensorsFile file(path), DataError) << size;
  }
}

TEST_F(SafetensorsTest, ABitFlipIsReadOrIsADataErrorAndSpansStayInside) {
  write_sample();
  const std::string whole = read_file(path);
  std::mt19937 random(7);
  for (int trial = 0; trial < 400; ++trial) {
    std::string flipped = whole;
    flipped[random() % flipped.size()] ^= static_cast<char>(1 << random() % 8);
    write_file_atomic(path, flipped);
    try {
      const SafetensorsFile file(path);
      for (const auto& [name, info] : file.tensors()) EXPECT_LE(info.bytes.size(), whole.size()) << name;
    } catch (const DataError&) {  // the expected outcome of a flip in the header
    }
  }
}

TEST_F(SafetensorsTest, TensorsMayBeMadeOneAfterTheOther) {
  const float values[] = {1, 2, 3, 4};
  std::vector<size_t> made;
  const auto in_pieces = [&](size_t i, const AppendBytes& append) {
    made.push_back(i);
    append(values, 8);
    append(values + 2, 8);
  };
  const std::vector<TensorToWrite> tensors{{"b", "F32", {4}, nullptr, 16}, {"a", "F32", {2, 2}, nullptr, 16}};
  write_safetensors(path, tensors, {}, in_pieces);
  EXPECT_THAT(made, testing::ElementsAre(0, 1));
  const SafetensorsFile file(path);
  for (const char* name : {"a", "b"}) EXPECT_EQ(std::memcmp(file.tensor(name).bytes.data(), values, 16), 0);
  const auto half = [&](size_t, const AppendBytes& append) { append(values, 8); };
  EXPECT_THROW(write_safetensors(path, tensors, {}, half), ShapeError);
}

TEST_F(SafetensorsTest, WritingBytesThatDoNotFitTheShapeIsAShapeError) {
  const float one = 1;
  const std::vector<TensorToWrite> wrong{{"a", "F32", {2}, &one, 4}};
  const std::vector<TensorToWrite> twice{{"a", "F32", {1}, &one, 4}, {"a", "F32", {1}, &one, 4}};
  EXPECT_THROW(write_safetensors(path, wrong, {}), ShapeError);
  EXPECT_THROW(write_safetensors(path, twice, {}), ShapeError);
  EXPECT_FALSE(fs::exists(path));
}

}  // namespace
}  // namespace starling
