#include "model/transformer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "core/random.h"

namespace starling {
namespace {

ModelConfig tiny_config(bool tied) {
  ModelConfig c;
  c.vocab_size = 29, c.hidden_size = 16, c.intermediate_size = 24, c.num_layers = 2, c.num_heads = 4,
  c.num_kv_heads = 2;
  c.max_positions = 80, c.tied_head = tied;
  return c;
}

// Two sequences, the first of two documents; every fifth target is not scored.
Batch two_sequences(const ModelConfig& c, int64_t length, uint64_t seed) {
  Batch b{2, length, {}, {}, {}, {}};
  for (int64_t i = 0; i < b.size(); ++i) {
    const int64_t place = i % length, start = i < length && place >= length / 3 ? length / 3 : 0;
    b.tokens.push_back(
        static_cast<int32_t>(random_u64(seed, 1, static_cast<uint64_t>(i)) % static_cast<uint64_t>(c.vocab_size)));
    b.targets.push_back(i % 5 == 4 ? -1
                                   : static_cast<int32_t>(random_u64(seed, 2, static_cast<uint64_t>(i)) %
                                                          static_cast<uint64_t>(c.vocab_size)));
    b.positions.push_back(static_cast<int32_t>(place - start));
    b.document_starts.push_back(static_cast<int32_t>(start));
  }
  return b;
}

// Weights large enough that every part of the model matters to the loss.
void randomize(Parameters& parameters, uint64_t seed) {
  for (size_t p = 0; p < parameters.list().size(); ++p) {
    float* values = parameters.value(p).as<float>();
    const bool matrix = parameters.list()[p].is_matrix();
    for (int64_t i = 0; i < parameters.list()[p].elements; ++i)
      values[i] = (matrix ? 0.0f : 1.0f) + 0.3f * random_normal(seed, p, static_cast<uint64_t>(i));
  }
  parameters.refresh_compute();
}

// What train() at scale 1 descends on.
double total_loss(Transformer& model, const Batch& batch) {
  double total = 0;
  for (float nats : model.score(batch)) total += static_cast<double>(nats);
  const double weight = static_cast<double>(model.config().router_loss) * static_cast<double>(batch.scored());
  for (const ExpertLoad& load : model.expert_loads())
    total += weight * load.imbalance / static_cast<double>(model.config().num_layers);
  return total;
}

// Every way in which the supported architectures differ from plain Llama.
ModelConfig variant(const std::string& name) {
  ModelConfig c = tiny_config(name == "tied");
  if (name == "qwen2") c.type = ModelType::qwen2, c.qkv_bias = true;
  if (name == "mistral") c.type = ModelType::mistral, c.sliding_window = 5;
  if (name == "mixtral") c.type = ModelType::mixtral, c.num_experts = 5, c.experts_per_token = 2, c.router_loss = 0.3f;
  if (name == "grok1")
    c.type = ModelType::grok1, c.num_experts = 5, c.experts_per_token = 2, c.router_loss = 0.3f, c.attention_cap = 2,
    c.embedding_scale = 1.5f, c.logit_scale = 0.7f;
  if (name == "wide_heads") c.head_dim = 6;  // 4 heads of 6 in a width of 16
  if (name == "llama3") c.rope_scaling = {.kind = RopeScaling::Kind::llama3, .factor = 8, .original_max_positions = 16};
  if (name == "yarn") c.rope_scaling = {.kind = RopeScaling::Kind::yarn, .factor = 4, .original_max_positions = 20};
  if (name == "linear") c.rope_scaling = {.kind = RopeScaling::Kind::linear, .factor = 2};
  return c;
}
constexpr const char* kVariants[] = {"tied",  "untied",     "qwen2",  "mistral", "mixtral",
                                     "grok1", "wide_heads", "llama3", "yarn",    "linear"};

class Gradients : public testing::TestWithParam<const char*> {};

// Central differences in f32 along a random direction per parameter: d loss ~ (L(w + h u) - L(w - h u)) / 2h = g . u.
// With h = 1e-3 / |u|_max the rounding of a loss near 100 (1e-5) over 2e-3 and the h^2 term both stay under 1 %.
// With experts the loss jumps where a step turns a token's choice over: steps are a fifth as long, and the seed is one
// where none does so.
TEST_P(Gradients, OfEveryParameterMatchFiniteDifferences) {
  const ModelConfig config = variant(GetParam());
  const bool experts = config.num_experts > 0;
  const Batch batch = two_sequences(config, 20, 7);
  Transformer model(config, DType::f32, batch.size());
  Parameters& parameters = model.parameters();
  randomize(parameters, experts ? 11 : 3);
  parameters.zero_gradients();
  const double nats = model.train(batch, {.scale = 1.0f}), loss = total_loss(model, batch);
  if (config.router_loss == 0) EXPECT_NEAR(nats, loss, 1e-4);
  else EXPECT_GT(loss, nats + 1);
  for (size_t p = 0; p < parameters.list().size(); ++p) {
    float* values = parameters.value(p).as<float>();
    const float* gradient = parameters.gradient(p).as<float>();
    const auto count = static_cast<size_t>(parameters.list()[p].elements);
    const std::vector<float> before(values, values + count);
    double expected = 0, differences[2];
    for (size_t i = 0; i < count; ++i) expected += static_cast<double>(gradient[i]) * (gradient[i] > 0 ? 1 : -1);
    const float h = (experts ? 0.004f : 0.02f) / std::sqrt(static_cast<float>(count));
    for (int side = 0; side < 2; ++side) {
      for (size_t i = 0; i < count; ++i)
        values[i] = before[i] + (side == 0 ? h : -h) * (gradient[i] > 0 ? 1.0f : -1.0f);
      differences[side] = total_loss(model, batch);
    }
    std::copy(before.begin(), before.end(), values);
    const double measured = (differences[0] - differences[1]) / (2.0 * static_cast<double>(h));
    EXPECT_NEAR(measured, expected, 0.01 * expected + 1e-3) << parameters.list()[p].name;
    EXPECT_GT(expected, 0) << parameters.list()[p].name;
  }
}

INSTANTIATE_TEST_SUITE_P(EveryArchitecture, Gradients, testing::ValuesIn(kVariants));

TEST_P(Gradients, AreTheSameBitsWithActivationsMadeAgain) {
  const ModelConfig config = variant(GetParam());
  const Batch batch = two_sequences(config, 20, 7);
  Transformer kept(config, DType::bf16, batch.size()),
      again(config, DType::bf16, batch.size(), {.recompute = Recompute::blocks});
  for (Transformer* model : {&kept, &again}) {
    randomize(model->parameters(), 3);
    model->train(batch, {.scale = 0.1f});
  }
  const Tensor a = kept.parameters().gradients(), b = again.parameters().gradients();
  EXPECT_EQ(std::memcmp(a.data(), b.data(), static_cast<size_t>(a.bytes())), 0);
  EXPECT_LT(again.activation_bytes(), kept.activation_bytes());
}

TEST(Transformer, ASlidingWindowHidesWhatLiesFurtherBack) {
  ModelConfig config = variant("mistral");
  config.num_layers = 1;  // with more, what a window hides comes in through the places between
  Batch batch = two_sequences(config, 20, 7);
  Transformer model(config, DType::f32, batch.size());
  randomize(model.parameters(), 4);
  const std::vector<float> before = model.score(batch);
  batch.tokens[20] = (batch.tokens[20] + 1) % 29;  // the first place of the second sequence
  const std::vector<float> after = model.score(batch);
  for (size_t place : {20u, 21u, 22u, 23u}) EXPECT_NE(before[place], after[place]) << place;
  for (size_t place = 25; place < 40; ++place) EXPECT_EQ(before[place], after[place]) << place;
}

TEST(ModelConfig, EveryArchitectureSurvivesItsConfigJson) {
  const auto path = std::filesystem::temp_directory_path() / ("starling-config-" + std::to_string(::getpid()));
  for (const char* name : kVariants) {
    const ModelConfig c = variant(name);
    c.save(path);
    const ModelConfig read = ModelConfig::load(path);
    EXPECT_EQ(read.type, c.type) << name;
    EXPECT_EQ(read.qkv_bias, c.qkv_bias) << name;
    EXPECT_EQ(read.sliding_window, c.sliding_window) << name;
    EXPECT_EQ(read.head_size(), c.head_size()) << name;
    EXPECT_EQ(read.rope_frequencies(), c.rope_frequencies()) << name;
    EXPECT_EQ(read.rope_magnitude(), c.rope_magnitude()) << name;
    EXPECT_EQ(read.num_experts, c.num_experts) << name;
    EXPECT_EQ(read.experts_per_token, c.experts_per_token) << name;
    EXPECT_EQ(read.router_loss, c.router_loss) << name;
    EXPECT_EQ(read.attention_cap, c.attention_cap) << name;
    EXPECT_EQ(read.embedding_scale, c.embedding_scale) << name;
    EXPECT_EQ(read.logit_scale, c.logit_scale) << name;
  }
  std::filesystem::remove(path);
}

// Llama 3.1: factor 8, low 1, high 4, original 8192, theta 500000, heads of 128. A fast pair keeps its frequency, a
// slow one is an eighth, and pair 32 (wave 2 pi 500000^(1/2) = 4443 positions, 8192 / 4443 = 1.844 turns) gets
// (1.844 - 1) / 3 of the plain and the rest of the stretched.
TEST(ModelConfig, RopeScalingOfLlama3FollowsItsRule) {
  ModelConfig c;
  c.hidden_size = 512, c.num_heads = 4, c.num_kv_heads = 4, c.rope_theta = 500000;
  c.rope_scaling = {.kind = RopeScaling::Kind::llama3, .factor = 8, .original_max_positions = 8192};
  const std::vector<double> f = c.rope_frequencies();
  const double plain = 1 / std::sqrt(500000.0), share = (8192 * plain / (2 * 3.14159265358979) - 1) / 3;
  EXPECT_DOUBLE_EQ(f[0], 1.0);
  EXPECT_NEAR(f[32], share * plain + (1 - share) * plain / 8, 1e-12);
  EXPECT_NEAR(f[63], std::pow(500000.0, -126.0 / 128) / 8, 1e-15);
}

// Yarn, factor 4, original 4096, theta 10000, heads of 64: pairs up to floor(64 ln(4096 / (32 * 2 pi)) / (2 ln 10000))
// = 10 keep their frequency, those from ceil(64 ln(4096 / 2 pi) / (2 ln 10000)) = 23 are a quarter.
TEST(ModelConfig, YarnKeepsFastPairsAndStretchesSlowOnes) {
  ModelConfig c;
  c.hidden_size = 256, c.num_heads = 4, c.num_kv_heads = 4;
  c.rope_scaling = {.kind = RopeScaling::Kind::yarn, .factor = 4, .original_max_positions = 4096};
  const std::vector<double> f = c.rope_frequencies();
  const auto plain = [](int i) { return std::pow(10000.0, -2.0 * i / 64); };
  EXPECT_DOUBLE_EQ(f[10], plain(10));
  EXPECT_NEAR(f[11], plain(11) * (12.0 / 13 + 0.25 / 13), 1e-12);
  EXPECT_DOUBLE_EQ(f[23], plain(23) / 4);
  EXPECT_NEAR(c.rope_magnitude(), 0.1 * std::log(4.0) + 1, 1e-12);
}

// As transformers 5 writes them.
TEST(ModelConfig, RopeParametersHoldTheAngleAndItsScaling) {
  const auto path = std::filesystem::temp_directory_path() / ("starling-config-" + std::to_string(::getpid()));
  const auto load = [&](const std::string& fields) {
    write_file_atomic(path, R"({"vocab_size":8,"hidden_size":8,"intermediate_size":8,"num_hidden_layers":1,)"
                            R"("num_attention_heads":2,"max_position_embeddings":64,)" +
                                fields + "}");
    return ModelConfig::load(path);
  };
  const ModelConfig plain = load(R"("rope_parameters":{"rope_type":"default","rope_theta":500000.0})");
  EXPECT_EQ(plain.rope_theta, 500000.0f);
  EXPECT_EQ(plain.rope_scaling, RopeScaling());
  EXPECT_EQ(load(R"("rope_parameters":{"rope_theta":1000000.0})").rope_theta, 1e6f);
  const ModelConfig llama3 = load(R"("rope_parameters":{"rope_theta":500000.0,"rope_type":"llama3","factor":32.0,)"
                                  R"("low_freq_factor":1.0,"high_freq_factor":4.0,)"
                                  R"("original_max_position_embeddings":8192})");
  EXPECT_EQ(llama3.rope_theta, 500000.0f);
  EXPECT_EQ(llama3.rope_scaling,
            (RopeScaling{.kind = RopeScaling::Kind::llama3, .factor = 32, .original_max_positions = 8192}));
  EXPECT_EQ(load(R"("rope_theta":500000.0,"rope_parameters":null)").rope_theta, 500000.0f);
  EXPECT_EQ(load(R"("model_type":"mixtral")").rope_theta, 1e6f) << "Hugging Face's value for one that says nothing";
  std::filesystem::remove(path);
}

TEST(ModelConfig, WhatIsNotSupportedIsRefusedByName) {
  const auto path = std::filesystem::temp_directory_path() / ("starling-config-" + std::to_string(::getpid()));
  const auto refuse = [&](const std::string& fields, const char* word) {
    write_file_atomic(path, R"({"vocab_size":8,"hidden_size":8,"intermediate_size":8,"num_hidden_layers":1,)"
                            R"("num_attention_heads":2,)" +
                                fields + "}");
    try {
      ModelConfig::load(path);
      ADD_FAILURE() << fields;
    } catch (const DataError& error) {
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
    }
  };
  refuse(R"("model_type":"gpt2")", "gpt2");
  refuse(R"("vocab_size":3777777777777777777777777777777777)", "vocab_size 3.777");  // of equal keys the last counts
  refuse(R"("num_key_value_heads":1.5)", "num_key_value_heads 1.5");
  refuse(R"("bos_token_id":1000000)", "bos_token_id 1000000");
  refuse(R"("bos_token_id":-1)", "bos_token_id -1");
  refuse(R"("num_hidden_layers":20000)", "num_hidden_layers 20000 is outside");
  refuse(R"("attention_bias":true)", "attention_bias");
  refuse(R"("hidden_act":"gelu")", "hidden_act");
  refuse(R"("rope_scaling":{"type":"dynamic","factor":2})", "dynamic");
  refuse(R"("rope_scaling":{"type":"linear"})", "factor");
  refuse(R"("rope_scaling":{"factor":2})", "type");
  refuse(R"("rope_scaling":{"type":"yarn","factor":2,"mscale":1.0})", "rope_scaling.mscale");
  refuse(R"("rope_parameters":{"rope_type":"longrope","factor":2})", "rope_parameters.rope_type \"longrope\"");
  refuse(R"("rope_parameters":{"rope_type":"yarn","factor":2,"truncate":false})", "rope_parameters.truncate");
  refuse(R"("rope_parameters":{"full_attention":{"rope_type":"default"}})", "rope_parameters.full_attention");
  refuse(R"("rope_parameters":{"rope_theta":500000,"partial_rotary_factor":0.5})", "partial_rotary_factor");
  refuse(R"("rope_parameters":{"rope_theta":500000},"rope_theta":10000)", "say different things");
  refuse(R"("rope_parameters":{"rope_type":"linear","factor":2},"rope_scaling":{"type":"linear","factor":4})",
         "say different things");
  refuse(R"("partial_rotary_factor":0.5)", "partial_rotary_factor");
  refuse(R"("model_type":"qwen2","use_sliding_window":true)", "use_sliding_window");
  refuse(R"("model_type":"qwen2","layer_types":["full_attention","sliding_attention"])", "sliding_attention");
  refuse(R"("model_type":"llama","num_local_experts":8)", "mixtral and grok-1 have experts");
  refuse(R"("model_type":"mixtral","num_local_experts":0)", "num_local_experts 0");
  refuse(R"("model_type":"mixtral","num_local_experts":300)", "outside 1..256");
  refuse(R"("model_type":"mixtral","num_experts_per_tok":9)", "num_experts_per_tok 9");
  refuse(R"("model_type":"mixtral","router_aux_loss_coef":-1)", "router_aux_loss_coef");
  refuse(R"("model_type":"mixtral","router_jitter_noise":0.1)", "router_jitter_noise");
  refuse(R"("model_type":"grok-1","num_experts":0)", "num_experts 0");
  refuse(R"("model_type":"grok-1","hidden_act":"silu")", "hidden_act is not gelu_pytorch_tanh");
  refuse(R"("model_type":"grok-1","attn_output_multiplier":0.1)", "attn_output_multiplier");
  refuse(R"("model_type":"grok-1","max_attn_value":-1)", "max_attn_value");
  std::filesystem::remove(path);
}

// The values that HPC-AI Tech's port has for Grok-1; xAI says 314 billion parameters.
TEST(ModelConfig, Grok1sConfigJsonHasItsValuesAndSize) {
  const auto path = std::filesystem::temp_directory_path() / ("starling-config-" + std::to_string(::getpid()));
  write_file_atomic(path, R"({"model_type":"grok-1","vocab_size":131072,"hidden_size":6144,"intermediate_size":32768,
    "num_hidden_layers":64,"num_attention_heads":48,"num_key_value_heads":8,"attn_output_multiplier":0.08838834764831845,
    "max_attn_value":30.0,"max_position_embeddings":8192,"embedding_multiplier_scale":78.38367176906169,
    "output_multiplier_scale":0.5773502691896257,"rms_norm_eps":1e-05,"num_experts":8,"num_experts_per_tok":2})");
  const ModelConfig c = ModelConfig::load(path);
  std::filesystem::remove(path);
  EXPECT_TRUE(c.tied_head);
  EXPECT_EQ(c.attention_cap, 30);
  EXPECT_FLOAT_EQ(c.embedding_scale, std::sqrt(6144.0f));
  EXPECT_FLOAT_EQ(c.logit_scale, 1 / std::sqrt(3.0f));
  EXPECT_NEAR(static_cast<double>(c.parameter_count()), 314e9, 2e9);
}

// Mixtral 8x7B as its config.json says it: 46.7 billion parameters, of which a token passes 12.9 (arXiv:2401.04088
// gives 47 and 13), the embedding's look-up among them.
TEST(ModelConfig, OfAMixtureSaysAllParametersAndThoseThatATokenPasses) {
  const ModelConfig c{.type = ModelType::mixtral,
                      .vocab_size = 32000,
                      .hidden_size = 4096,
                      .intermediate_size = 14336,
                      .num_layers = 32,
                      .num_heads = 32,
                      .num_kv_heads = 8,
                      .num_experts = 8,
                      .experts_per_token = 2};
  EXPECT_EQ(c.parameter_count(), 46'702'792'704);
  const int64_t looked_up = 32000 * 4096, norms = 65 * 4096;
  EXPECT_EQ(c.matrix_parameter_count(), c.parameter_count() - looked_up - norms);
  EXPECT_NEAR(static_cast<double>(c.active_matrix_parameter_count() + looked_up), 12.9e9, 0.03e9);
  EXPECT_EQ(c.matrix_parameter_count() - c.active_matrix_parameter_count(), int64_t{32} * 6 * 3 * 4096 * 14336);
  ModelConfig alone = c;  // one expert of two widths: the same but for the router
  alone.type = ModelType::mistral, alone.num_experts = alone.experts_per_token = 0, alone.intermediate_size = 2 * 14336;
  EXPECT_DOUBLE_EQ(c.forward_flops_per_token(4096) - alone.forward_flops_per_token(4096), 2.0 * 32 * 8 * 4096);
}

TEST(Transformer, Bf16LossAndGradientsAreThoseOfF32WithinItsPrecision) {
  const ModelConfig config = tiny_config(true);
  const Batch batch = two_sequences(config, 20, 9);
  Transformer exact(config, DType::f32, batch.size()), low(config, DType::bf16, batch.size());
  for (Transformer* model : {&exact, &low}) {
    model->parameters().initialize(5);
    model->parameters().zero_gradients();
  }
  const double a = exact.train(batch, {.scale = 0.1f}), b = low.train(batch, {.scale = 0.1f});
  EXPECT_NEAR(a, b, 0.01 * a);  // bf16 keeps 8 bits: 0.4 % a rounding
  const float *x = exact.parameters().gradients().as<float>(), *y = low.parameters().gradients().as<float>();
  double dot = 0, xx = 0, yy = 0;
  for (int64_t i = 0; i < exact.parameters().gradients().elements(); ++i)
    dot += static_cast<double>(x[i] * y[i]), xx += static_cast<double>(x[i] * x[i]),
        yy += static_cast<double>(y[i] * y[i]);
  EXPECT_GT(dot / std::sqrt(xx * yy), 0.999);
  EXPECT_NEAR(std::sqrt(yy / xx), 1.0, 0.02);
}

TEST(Transformer, ADocumentDoesNotSeeTheOnesBeforeItInItsSequence) {
  const ModelConfig config = tiny_config(true);
  Batch batch = two_sequences(config, 20, 11);
  Transformer model(config, DType::f32, batch.size());
  randomize(model.parameters(), 4);
  const std::vector<float> before = model.score(batch);
  batch.tokens[2] = (batch.tokens[2] + 1) % 29;  // in the first document
  const std::vector<float> after = model.score(batch);
  EXPECT_NE(before[3], after[3]);
  for (size_t i = 6; i < before.size(); ++i) EXPECT_EQ(before[i], after[i]) << i;
}

TEST(Transformer, AFutureTokenChangesNoEarlierScore) {
  const ModelConfig config = tiny_config(true);
  Batch batch = two_sequences(config, 80, 12);
  Transformer model(config, DType::f32, batch.size());
  randomize(model.parameters(), 4);
  const std::vector<float> before = model.score(batch);
  batch.tokens[150] = (batch.tokens[150] + 1) % 29;
  const std::vector<float> after = model.score(batch);
  for (size_t i = 0; i < 150; ++i) EXPECT_EQ(before[i], after[i]) << i;
  EXPECT_NE(before[151], after[151]);
}

TEST(Transformer, TwoTrainingPassesGiveTheSameBits) {
  const ModelConfig config = tiny_config(true);
  const Batch batch = two_sequences(config, 20, 13);
  std::vector<float> gradients[2];
  for (auto& list : gradients) {
    Transformer model(config, DType::bf16, batch.size());
    model.parameters().initialize(5);
    model.train(batch, {.scale = 1.0f});
    const Tensor all = model.parameters().gradients();
    list.assign(all.as<float>(), all.as<float>() + all.elements());
  }
  EXPECT_EQ(std::memcmp(gradients[0].data(), gradients[1].data(), gradients[0].size() * sizeof(float)), 0);
}

TEST(Transformer, ATokenOutsideTheVocabularyIsAnErrorThatNamesIt) {
  const ModelConfig config = tiny_config(true);
  Batch batch = two_sequences(config, 20, 13);
  Transformer model(config, DType::f32, batch.size());
  batch.tokens[5] = 29;
  EXPECT_THROW(model.score(batch), DataError);
  batch.tokens[5] = 0;
  batch.targets[5] = 29;
  EXPECT_THROW(model.score(batch), DataError);
}

TEST(Transformer, ABatchAboveItsSizeIsAShapeError) {
  const ModelConfig config = tiny_config(true);
  Transformer model(config, DType::f32, 39);
  EXPECT_THROW(model.score(two_sequences(config, 20, 1)), ShapeError);
}

}  // namespace
}  // namespace starling
