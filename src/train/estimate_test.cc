#include "train/estimate.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "model/transformer.h"
#include "train/optimizer.h"
#include "train/scaling.h"

namespace starling {
namespace {

// The count from shapes against what the model and the optimizer really take.
class EstimateOf : public testing::TestWithParam<ModelType> {};

TEST_P(EstimateOf, CountsTheMemoryThatModelAndOptimizerTake) {
  for (const bool recompute : {false, true}) {
    for (const char* precision : {"f32", "bf16"}) {
      ModelConfig config = model_of_depth(2, 300);
      config.max_positions = 96, config.num_kv_heads = 1, config.head_dim = 48;
      config.type = GetParam();
      if (config.type == ModelType::qwen2) config.qkv_bias = true;
      else config.num_experts = 5, config.experts_per_token = 3;
      TrainOptions options;
      options.micro_batch_tokens = 128, options.precision = precision, options.recompute = recompute;
      const TrainMemory memory = train_memory(config, options);
      Transformer model(config, options.compute(), 128, {.recompute = recompute ? Recompute::blocks : Recompute::none});
      const Optimizer optimizer(model.parameters(), true);
      EXPECT_EQ(memory.activations_bytes, model.activation_bytes());
      EXPECT_EQ(memory.moments_bytes, optimizer.first_moment().bytes() + optimizer.second_moment().bytes());
      EXPECT_EQ(memory.weights_bytes, model.parameters().values().bytes());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(DenseAndMixtures, EstimateOf,
                         testing::Values(ModelType::qwen2, ModelType::mixtral, ModelType::grok1));

// The products of a step are six operations a parameter of a matrix and token: nearly all of what the model's own count
// says, and no operator is counted twice.
TEST(TrainEstimate, AProfileOfStepsHoldsTheirArithmetic) {
  const ModelConfig model = model_of_depth(2, 512);
  const TrainOptions options{.sequence_length = 64, .batch_tokens = 256, .micro_batch_tokens = 128};
  const MeasuredSteps measured = measure_steps(model, options, 2);
  EXPECT_EQ(measured.seconds.size(), 2);
  double products = 0, seconds = 0;
  for (const OperatorProfile& o : measured.operators) {
    seconds += o.seconds;
    if (o.name.find("linear") != std::string::npos || o.name.find("product") != std::string::npos) products += o.flops;
  }
  const double wanted = 2 * 256 * 6.0 * static_cast<double>(model.matrix_parameter_count());
  EXPECT_NEAR(products / wanted, 1, 0.02);
  EXPECT_LE(seconds, measured.seconds[0] + measured.seconds[1]);
}

TEST(TrainEstimate, ARunLargerThanTheMachineIsRefusedBeforeItStarts) {
  TrainOptions options;
  EXPECT_THROW(estimate_training(model_of_depth(120, 128000), options), ConfigError);
}

// Depth 4: width 256, heads of 64, blocks of 4 (4 * 256^2 + 3 * 256 * 704) = 3,211,264 parameters. For 2.25 M tokens
// 0.58 (2.25e6)^0.571 = 2461 tokens, rounded to whole sequences of 512.
TEST(Scaling, DepthSetsShapeRateAndBatchByTheLawsItNames) {
  const ModelConfig model = model_of_depth(4, 8192);
  EXPECT_EQ(model.hidden_size, 256);
  EXPECT_EQ(model.head_size(), 64);
  EXPECT_EQ(model.intermediate_size, 704);
  const ScaledTraining training = scaled_training(model, 2'250'000, 512);
  EXPECT_EQ(training.batch_tokens, 2560);
  EXPECT_EQ(training.micro_batch_tokens, 2560);
  EXPECT_NEAR(training.learning_rate, 1.79 * std::pow(3211264.0, -0.713) * std::pow(2.25e6, 0.307), 1e-9);
  const ScaledTraining large = scaled_training(model, 100'000'000, 512);
  EXPECT_EQ(large.batch_tokens % large.micro_batch_tokens, 0);
  EXPECT_LE(large.micro_batch_tokens, 4096);
  EXPECT_NEAR(static_cast<double>(large.batch_tokens), 0.58 * std::pow(1e8, 0.571), 4096);
  EXPECT_THROW(model_of_depth(0, 8192), ConfigError);
}

}  // namespace
}  // namespace starling
