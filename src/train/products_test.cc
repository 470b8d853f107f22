#include "train/products.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "train/options.h"

namespace starling {
namespace {

TEST(TrainProducts, OwnOnesHaveToBeAFifthFaster) {
  EXPECT_EQ(faster_products({1e12, 1.19e12}), ProductKernels::onednn);
  EXPECT_EQ(faster_products({1e12, 1.21e12}), ProductKernels::amx);
}

TEST(TrainProducts, AutoIsSettledAsOneOfThem) {
  Config config(train_config_keys());
  for (const char* setting : {"model.hidden_size=32", "model.intermediate_size=64", "train.sequence_length=32",
                              "train.batch_tokens=64", "train.micro_batch_tokens=64"})
    config.set(setting);
  EXPECT_EQ(config.text("train.products"), "auto");
  settle_products(config);
  const std::string settled = config.text("train.products");
  EXPECT_TRUE(settled == "onednn" || (settled == "amx" && has_products(ProductKernels::amx))) << settled;
}

TEST(TrainProducts, InF32ThereIsNoChoice) {
  Config config(train_config_keys());
  config.set("train.precision=f32");
  settle_products(config);
  EXPECT_EQ(config.text("train.products"), "onednn");
}

TEST(TrainProducts, WhatIsNotThereIsRefusedWithAdvice) {
  Config config(train_config_keys());
  config.set("train.products=mkl");
  EXPECT_THROW(train_options(config), ConfigError);
  config.set("train.products=amx");
  if (has_products(ProductKernels::amx)) return;
  try {
    train_options(config);
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("train.products=onednn"), std::string::npos) << error.what();
  }
}

TEST(TrainProducts, BothAreMeasuredWhereBothAreThere) {
  if (!has_products(ProductKernels::amx)) GTEST_SKIP() << "no AMX";
  const ProductRates rates = measure_products(64, 64, 96);
  EXPECT_GT(rates.onednn_flops, 0);
  EXPECT_GT(rates.amx_flops, 0);
  EXPECT_EQ(products_in_use(), ProductKernels::onednn);
}

}  // namespace
}  // namespace starling
