#include "wkv/zoo/train.h"

#include <ATen/Functions.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "train/new_model.h"
#include "train/token_file.h"
#include "wkv/error.h"
#include "wkv/zoo/load.h"
#include "wkv/zoo/tensor_source.h"

namespace wkv::zoo {
namespace {

using testing::HasSubstr;

// A tiny RWKV-7 on a tiny text, in an empty folder.
TrainConfig tiny_run(const std::string& name) {
  const auto folder = std::filesystem::path(testing::TempDir()) / ("train_" + name);
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  std::string text;
  for (int i = 0; i < 300; ++i) text += "the quick brown fox " + std::to_string(i) + "\n";
  std::ofstream(folder / "text.txt", std::ios::binary) << text;
  TrainConfig config;
  config.output = (folder / "out").string();
  config.data.files = {(folder / "text.txt").string()};
  config.steps = 6;
  config.batch = 2;
  config.context = 16;
  config.log_every = 1;
  config.threads = 1;
  config.model = {.layers = 2, .width = 16, .head_size = 8};
  return config;
}

std::string content_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// metrics.jsonl but for the times.
std::vector<nlohmann::json> metrics(const TrainConfig& config) {
  std::ifstream stream(std::filesystem::path(config.output) / "metrics.jsonl");
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(stream, line);) {
    lines.push_back(nlohmann::json::parse(line));
    for (const char* time : {"seconds", "tokens_per_second"}) lines.back().erase(time);
  }
  return lines;
}

std::string model_of(const TrainConfig& config) {
  return content_of(std::filesystem::path(config.output) / "model.safetensors");
}

TrainReport run(const TrainConfig& config) {
  std::ostringstream progress;
  return train(config, progress);
}

TEST(Train, leaves_a_model_with_its_config_and_card) {
  const auto config = tiny_run("files");
  const auto report = run(config);
  EXPECT_TRUE(report.finished);
  EXPECT_EQ(report.steps, 6);
  for (const char* file : {"model.safetensors", "config.json", "recipe.json", "card.json"})
    EXPECT_TRUE(std::filesystem::exists(report.folder / file)) << file;
  EXPECT_EQ(parse_train_config(report.folder / "recipe.json"), config);
  const auto card = nlohmann::json::parse(content_of(report.folder / "card.json"));
  EXPECT_EQ(card["steps"], 6);
  ASSERT_EQ(report.measurements.size(), 1U);
  EXPECT_EQ(card["held_out_bits_per_byte"], report.measurements[0].value);
}

// A progress stream that sends the signal that a user or a scheduler would.
struct StopAfterFourSteps : std::stringbuf {
  int sync() override {
    if (!sent && str().find("step 4  held out") != std::string::npos) {
      sent = true;
      raise(SIGTERM);
    }
    return 0;
  }
  bool sent = false;
};

class ContinuedTraining : public testing::TestWithParam<std::string> {};

TEST_P(ContinuedTraining, gives_the_same_model_and_metrics_as_one_run) {
  auto whole = tiny_run("whole");
  whole.data.order = GetParam();
  whole.evaluate_every = 2;
  run(whole);

  auto parts = tiny_run("parts");
  parts.data.order = GetParam();
  parts.evaluate_every = 2;
  StopAfterFourSteps buffer;
  std::ostream stream(&buffer);
  const auto stopped = train(parts, stream);
  EXPECT_FALSE(stopped.finished);
  EXPECT_EQ(stopped.steps, 4);
  const std::filesystem::path output = parts.output;
  std::ofstream(output / "metrics.jsonl", std::ios::app) << "{\"step\": 5}\n";  // as a run killed after its checkpoint
  EXPECT_TRUE(run(parts).finished);
  EXPECT_EQ(metrics(parts), metrics(whole));
  EXPECT_EQ(content_of(output / "model.safetensors"),
            content_of(std::filesystem::path(whole.output) / "model.safetensors"));
}

INSTANTIATE_TEST_SUITE_P(Train, ContinuedTraining, testing::Values("shuffled", "consecutive"));

class TrainFamily : public testing::TestWithParam<std::string> {};

TEST_P(TrainFamily, learns_and_leaves_a_model_that_loads) {
  TrainConfig config = tiny_run("family_" + GetParam());
  config.model.family = GetParam();
  config.model.layers = 3;
  config.model.interval = 4;
  config.steps = 20;
  config.optimizer.learning_rate = 5e-3;
  config.optimizer.warmup = 2;
  EXPECT_TRUE(run(config).finished);
  const auto lines = metrics(config);
  EXPECT_LT(lines.at(lines.size() - 2).at("loss"), 0.9 * lines.front().at("loss").get<double>());
  EXPECT_EQ(load_language_model(config.output)->family(), GetParam());
}

TEST(Train, an_rwkv7_of_one_layer_loads) {
  TrainConfig config = tiny_run("one_layer");
  config.model.layers = 1;
  run(config);
  EXPECT_EQ(load_language_model(config.output)->family(), "rwkv7");
}

TEST(Train, a_model_whose_state_grows_reads_no_text_on_and_on) {
  TrainConfig config = tiny_run("growing");
  config.model.family = "transformer";
  config.data.order = "consecutive";
  try {
    run(config);
    FAIL() << "not refused";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("data.order: the state of transformer grows"), std::string::npos)
        << error.what();
  }
}

INSTANTIATE_TEST_SUITE_P(Train, TrainFamily, testing::ValuesIn(new_model_families()),
                         [](const auto& test_info) { return test_info.param; });

TEST(Train, fine_tuning_starts_from_a_checkpoint_and_leaves_what_is_frozen) {
  TrainConfig first = tiny_run("base"), second = tiny_run("tuned");
  run(first);
  second.model = {.checkpoint = first.output};
  second.optimizer.train = {"att.x_", "head"};
  second.export_dtype = "fp32";
  std::ostringstream progress;
  EXPECT_TRUE(train(second, progress).finished);
  EXPECT_THAT(progress.str(), HasSubstr("parameters, those with att.x_, head in their names"));
  const auto before = load_language_model(first.output)->named_parameters();
  const auto after = load_language_model(second.output)->named_parameters();
  for (const auto& parameter : before) {
    const bool trained = parameter.key().find("att.x_") != std::string::npos || parameter.key() == "head.weight";
    EXPECT_EQ(at::equal(parameter.value(), after[parameter.key()]), !trained) << parameter.key();
  }
}

TEST(Train, a_tokenised_text_gives_the_same_model_as_the_text) {
  const TrainConfig plain = tiny_run("text");
  TrainConfig mapped = tiny_run("tokenised");
  run(plain);
  TokenFileWriter writer(mapped.data.files[0] + ".safetensors", load_tokenizer("bytes"));
  writer.append(content_of(mapped.data.files[0]));
  writer.end_document();
  writer.commit();
  mapped.data.files[0] += ".safetensors";
  run(mapped);
  EXPECT_EQ(metrics(mapped), metrics(plain));
  EXPECT_EQ(model_of(mapped), model_of(plain));
}

TEST(Train, gradient_checkpointing_gives_the_same_model) {
  const TrainConfig plain = tiny_run("kept");
  TrainConfig recomputing = tiny_run("recomputed");
  recomputing.gradient_checkpointing = true;
  for (const char* precision : {"fp32", "bf16"}) {
    TrainConfig first = plain, second = recomputing;
    first.precision = second.precision = precision;
    first.output += precision;
    second.output += precision;
    run(first);
    run(second);
    EXPECT_EQ(model_of(second), model_of(first)) << precision;
  }
}

TEST(Train, lora_leaves_its_adapter_and_the_merged_model) {
  TrainConfig first = tiny_run("lora_base"), second = tiny_run("lora");
  run(first);
  second.model = {.checkpoint = first.output};
  second.lora = {.rank = 2, .alpha = 4, .targets = {"att.receptance", "ffn.key"}};
  second.export_dtype = "fp32";
  run(second);
  const auto before = load_language_model(first.output)->named_parameters();
  const auto after = load_language_model(second.output)->named_parameters();
  ASSERT_EQ(after.size(), before.size());
  const auto adapter = open_tensors(std::filesystem::path(second.output) / "adapter.safetensors");
  EXPECT_EQ(adapter.entries.size(), 2 * 4);
  EXPECT_EQ(adapter.metadata.at("r"), "2");
  for (const auto& parameter : before) {
    const std::string& name = parameter.key();
    const std::string prefix = "base_model.model." + name.substr(0, name.rfind('.'));
    const auto *a = adapter.find(prefix + ".lora_A.weight"), *b = adapter.find(prefix + ".lora_B.weight");
    const at::Tensor expected =
        a == nullptr ? parameter.value() : parameter.value() + 2 * at::matmul(as_tensor(*b), as_tensor(*a));
    EXPECT_EQ(a != nullptr, name.ends_with("att.receptance.weight") || name.ends_with("ffn.key.weight")) << name;
    EXPECT_TRUE(at::allclose(after[name], expected, 1e-6, 1e-7)) << name;
    EXPECT_EQ(at::equal(after[name], parameter.value()), a == nullptr) << name;
  }
}

TEST(Train, lora_that_is_not_merged_leaves_no_model) {
  TrainConfig first = tiny_run("unmerged_base"), second = tiny_run("unmerged");
  run(first);
  second.model = {.checkpoint = first.output};
  second.lora = {.rank = 2, .merge = false};
  run(second);
  EXPECT_TRUE(std::filesystem::exists(std::filesystem::path(second.output) / "adapter.safetensors"));
  EXPECT_FALSE(std::filesystem::exists(std::filesystem::path(second.output) / "model.safetensors"));
}

class TrainStates : public testing::TestWithParam<std::string> {};

TEST_P(TrainStates, trains_the_states_that_a_checkpoint_lacks_and_nothing_else) {
  TrainConfig first = tiny_run("states_base_" + GetParam()), second = tiny_run("states_" + GetParam());
  first.model.family = GetParam();
  run(first);
  second.model = {.checkpoint = first.output};
  second.state_tuning = true;
  second.export_dtype = "fp32";
  run(second);
  const auto before = load_language_model(first.output)->named_parameters();
  const auto after = load_language_model(second.output)->named_parameters();
  EXPECT_GT(after["blocks.1.att.time_state"].abs().max().item<float>(), 0);
  for (const auto& parameter : before)
    EXPECT_TRUE(at::equal(parameter.value(), after[parameter.key()])) << parameter.key();
}

INSTANTIATE_TEST_SUITE_P(Train, TrainStates, testing::Values("rwkv5", "rwkv6", "rwkv7"),
                         [](const auto& test_info) { return test_info.param; });

TEST(Train, of_states_that_a_family_has_not_is_refused) {
  TrainConfig first = tiny_run("stateless_base"), second = tiny_run("stateless");
  first.model.family = "rwkv4";
  run(first);
  second.model = {.checkpoint = first.output};
  second.state_tuning = true;
  EXPECT_THAT([&] { run(second); }, testing::ThrowsMessage<Error>(HasSubstr("rwkv4 has no state to tune")));
}

TEST(Train, a_loss_that_is_not_finite_names_the_place_and_the_last_checkpoint) {
  auto config = tiny_run("infinite");
  config.steps = 40;
  config.checkpoint_every = 1;
  config.optimizer.warmup = 0;
  config.optimizer.learning_rate = 1e30;
  config.optimizer.clip = 0;
  EXPECT_THAT([&] { run(config); },
              testing::ThrowsMessage<Error>(testing::AllOf(HasSubstr("is not finite, first in "),
                                                           HasSubstr("another run may start from " + config.output))));
}

TEST(Train, a_checkpoint_of_another_recipe_is_refused_by_its_first_key) {
  auto config = tiny_run("another");
  run(config);
  config.optimizer.learning_rate = 2e-3;
  EXPECT_THAT([&] { run(config); }, testing::ThrowsMessage<Error>(HasSubstr("another optimizer.learning_rate")));
}

TEST(Train, a_finished_run_goes_on_when_steps_are_raised) {
  auto config = tiny_run("raised");
  run(config);
  config.steps = 8;
  EXPECT_EQ(run(config).steps, 8);
}

TEST(Train, a_vocabulary_smaller_than_the_tokenizers_is_refused) {
  auto config = tiny_run("vocabulary");
  config.model.vocab = 255;
  EXPECT_THAT([&] { run(config); }, testing::ThrowsMessage<Error>(HasSubstr("model.vocab must be at least")));
}

TEST(Train, what_the_model_does_not_read_is_refused_and_leaves_nothing) {
  const auto refused_by = [](const std::string& message, auto&& change) {
    auto config = tiny_run("not_read");
    change(config.model);
    EXPECT_THAT([&] { run(config); }, testing::ThrowsMessage<Error>(HasSubstr(message)));
    EXPECT_FALSE(std::filesystem::exists(config.output)) << message;
  };
  refused_by("model.config is not for rwkv7", [](auto& model) { model.config = R"({"n_layer": 2})"; });
  const auto trained = tiny_run("not_read_base");
  run(trained);
  refused_by("model.family is not for a model.checkpoint of rwkv7", [&](auto& model) {
    model.family = "rwkv6";
    model.checkpoint = trained.output;
  });
}

TEST(Train, an_output_that_can_not_be_made_is_named) {
  auto config = tiny_run("not_made");
  std::ofstream(config.output) << "a file";
  EXPECT_THAT([&] { run(config); },
              testing::ThrowsMessage<Error>(HasSubstr("output: cannot make the folder " + config.output)));
}

TEST(Train, a_based_model_without_all_its_kinds_of_layers_is_refused) {
  auto config = tiny_run("based");
  config.model.family = "based";
  config.model.layers = 2;
  EXPECT_THAT([&] { run(config); }, testing::ThrowsMessage<Error>(HasSubstr("at least 3 of them, got 2")));
}

}  // namespace
}  // namespace wkv::zoo
