#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <map>

#include "support/fixture.h"
#include "train/classification_task.h"
#include "train/trainer.h"
#include "train_pictures.h"
#include "wkv/error.h"
#include "wkv/models/vrwkv.h"

namespace wkv::zoo {
namespace {

using testing::HasSubstr;

constexpr const char* kSmallClassifier =
    R"({"img_size": 16, "patch_size": 8, "embed_dims": 32, "depth": 2, "hidden_rate": 2, "drop_path_rate": 0.1})";

// Twelve pictures of three colours to train on, six others to be tested by.
class ClassificationTraining : public testing::Test {
 protected:
  ClassificationTraining() {
    test::write_classes(folder_ / "train", 4);
    test::write_classes(folder_ / "test", 2, /*first=*/4);
    config.model.family = "vrwkv";
    config.model.config = kSmallClassifier;
    config.data.images = (folder_ / "train").string();
    config.data.held_out_images = (folder_ / "test").string();
    config.data.augment = {.crop_area = {0.5, 1.0}, .flip = 0.5};
    config.optimizer.learning_rate = 5e-3;
    config.optimizer.label_smoothing = 0.1;
    config.batch = 6;
    config.steps = 30;
  }
  std::unique_ptr<Task> make(uint64_t model_seed = 1, const Rank& rank = {}) const {
    at::manual_seed(model_seed);
    auto task = make_task(config, rank);
    task->model().train();
    return task;
  }
  std::string refusal() const {
    try {
      make();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  test::ScratchFolder folder_;
  TrainConfig config;
};

double measured(Task& task, const std::string& name) {
  for (const auto& measurement : task.evaluate())
    if (measurement.name == name) return measurement.value;
  return -1;
}

TEST_F(ClassificationTraining, learns_colours) {
  for (const std::string family : {"vrwkv", "vrwkv6"}) {
    config.model.family = family;
    if (family == "vrwkv6")
      config.model.config = config.model.config.substr(0, 1) + R"("num_heads": 2, )" + (kSmallClassifier + 1);
    const auto task = make();
    Trainer trainer(*task, config);
    const double first = trainer.step().loss;
    double last = first;
    while (trainer.steps_done() < config.steps) last = trainer.step().loss;
    EXPECT_LT(last, 0.7 * first) << family;
    EXPECT_EQ(measured(*task, "held_out_accuracy"), 1.0) << family;
    EXPECT_LT(measured(*task, "held_out_loss"), 0.6) << family;
  }
}

TEST_F(ClassificationTraining, continued_is_bit_for_bit_the_run_that_never_stopped) {
  config.data.augment.mixup = 0.8;
  config.data.augment.cutmix = 1.0;
  const auto whole = make();
  Trainer trainer(*whole, config);
  for (int i = 0; i < 6; ++i) trainer.step();
  const auto first = make();
  Trainer first_trainer(*first, config);
  for (int i = 0; i < 4; ++i) first_trainer.step();
  std::filesystem::create_directories(folder_ / "checkpoint");
  first_trainer.save(folder_ / "checkpoint", first_trainer.gather(), {});

  const auto second = make(/*model_seed=*/9);
  Trainer second_trainer(*second, config);
  second_trainer.restore(folder_ / "checkpoint");
  for (int i = 4; i < 6; ++i) second_trainer.step();
  const auto expected = named_tensors(whole->model()), found = named_tensors(second->model());
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_TRUE(at::equal(expected[i].second, found[i].second)) << expected[i].first;
}

TEST_F(ClassificationTraining, ranks_take_the_rows_of_one_batch) {
  config.data.augment.mixup = 0.8;
  config.batch = 4;
  config.model.config = R"({"img_size": 16, "patch_size": 8, "embed_dims": 32, "depth": 2})";
  const double whole = make()->loss(5).item<double>();
  double mean = 0;
  for (const int64_t rank : {0, 1}) mean += make(1, {.index = rank, .count = 2})->loss(5).item<double>() / 2;
  EXPECT_NEAR(mean, whole, 1e-5);
}

TEST_F(ClassificationTraining, decays_all_but_norms_and_biases) {
  config.model.config = R"({"img_size": 16, "patch_size": 8, "embed_dims": 32, "depth": 1, "key_norm": true,
                            "init_values": 1})";
  std::map<std::string, bool> decayed;
  for (const auto& group : make()->parameter_groups())
    for (const auto& name : group.names) decayed[name] = group.weight_decay;
  for (const char* name : {"backbone.pos_embed", "backbone.layers.0.att.spatial_decay", "backbone.layers.0.gamma1",
                           "backbone.layers.0.ffn.spatial_mix_k", "backbone.layers.0.att.key.weight", "head.fc.weight"})
    EXPECT_TRUE(decayed.at(name)) << name;
  for (const char* name : {"backbone.ln1.weight", "backbone.layers.0.ln2.bias", "backbone.layers.0.att.key_norm.weight",
                           "head.fc.bias", "backbone.patch_embed.projection.bias"})
    EXPECT_FALSE(decayed.at(name)) << name;
}

TEST_F(ClassificationTraining, from_a_checkpoint_of_other_classes_has_a_new_head_alone) {
  models::VRWKVOptions options;
  options.trunk = {.image_size = 16, .patch_size = 8, .width = 32, .layers = 2, .hidden_rate = 2};
  options.classifier.classes = 7;
  at::manual_seed(5);
  const models::VRWKV old(options);
  const auto path = (folder_ / "old.safetensors").string();
  write_safetensors(path, named_tensors(*old), old->metadata());
  config.model = {.checkpoint = path};
  config.data.pipeline = "vl16";
  const auto task = make();
  const auto parameters = task->model().named_parameters();
  EXPECT_EQ(parameters["head.fc.weight"].size(0), 3);
  EXPECT_TRUE(at::equal(parameters["backbone.layers.1.att.key.weight"],
                        old->named_parameters()["backbone.layers.1.att.key.weight"]));
  EXPECT_EQ(nlohmann::json::parse(task->model().config_json()).at("preprocessing"), "vl16");
}

TEST_F(ClassificationTraining, labels_say_the_order_of_the_classes) {
  config.data.labels = {"blue", "Green", "red"};
  EXPECT_EQ(make()->companion_files().at("labels.txt"), "blue\nGreen\nred");
  config.data.labels = {};
  EXPECT_EQ(make()->companion_files().at("labels.txt"), "blue\ngreen\nred");
}

TEST_F(ClassificationTraining, the_pipeline_is_part_of_the_model) {
  config.data.pipeline = "clip16";
  EXPECT_EQ(nlohmann::json::parse(make()->model().config_json()).at("preprocessing"), "clip16");
}

TEST_F(ClassificationTraining, in_bf16_leaves_parameters_in_fp32) {
  config.precision = "bf16";
  const auto task = make();
  EXPECT_TRUE(std::isfinite(Trainer(*task, config).step().loss));
  for (const auto& parameter : task->model().parameters()) EXPECT_EQ(parameter.scalar_type(), at::kFloat);
}

TEST_F(ClassificationTraining, with_checkpointing_has_the_same_gradients) {
  const auto gradient = [&](const char* json) {
    config.model.config = json;
    const auto task = make();
    task->loss(0).backward();
    return task->model().named_parameters()["backbone.layers.0.att.key.weight"].grad();
  };
  EXPECT_TRUE(
      at::allclose(gradient(R"({"img_size": 16, "patch_size": 8, "embed_dims": 32, "depth": 2, "with_cp": true})"),
                   gradient(R"({"img_size": 16, "patch_size": 8, "embed_dims": 32, "depth": 2})"), 1e-4, 1e-7));
}

struct ClassifierMistake {
  void (*make)(TrainConfig& config, const std::filesystem::path& folder);
  const char* message;
};

class RefusedClassification : public ClassificationTraining, public testing::WithParamInterface<ClassifierMistake> {};

TEST_P(RefusedClassification, is_told_in_one_line) {
  GetParam().make(config, folder_.path());
  const std::string message = refusal();
  EXPECT_THAT(message, HasSubstr(GetParam().message));
  EXPECT_EQ(message.find('\n'), std::string::npos);
}

using RunFolder = std::filesystem::path;
INSTANTIATE_TEST_SUITE_P(
    All, RefusedClassification,
    testing::Values(
        ClassifierMistake{[](TrainConfig& c, const RunFolder&) { c.model.config = ""; }, "model.config: missing"},
        ClassifierMistake{[](TrainConfig& c, const RunFolder&) { c.model.config = R"({"dept": 2})"; },
                          "vrwkv has no key dept"},
        ClassifierMistake{[](TrainConfig& c, const RunFolder&) { c.model.config = R"({"num_classes": 4})"; },
                          "num_classes is 4, but the number of labels is 3"},
        ClassifierMistake{[](TrainConfig& c, const RunFolder&) { c.data.files = {"a.txt"}; },
                          "data.files is not for vrwkv"},
        ClassifierMistake{[](TrainConfig& c, const RunFolder&) { c.context = 64; }, "context is not for vrwkv"},
        ClassifierMistake{[](TrainConfig& c, const RunFolder&) { c.model.width = 64; }, "model.width is not for vrwkv"},
        ClassifierMistake{[](TrainConfig& c, const RunFolder&) { c.data.captions = "a.json"; },
                          "data.captions is not for vrwkv"},
        ClassifierMistake{[](TrainConfig& c, const RunFolder&) { c.data.pipeline = "resnet"; },
                          "pipeline: expected mm224"},
        ClassifierMistake{[](TrainConfig& c, const RunFolder&) { c.data.images = "no/such/folder"; },
                          "data.images: no/such/folder"},
        ClassifierMistake{[](TrainConfig& c, const RunFolder&) {
                            c.data.labels = {"red", "green"};
                          },
                          "data.images: "},  // a folder more than classes
        ClassifierMistake{[](TrainConfig& c, const RunFolder&) {
                            c.data.labels = {"red", "green", "blue", "grey"};
                          },
                          "no image of the class grey"},
        ClassifierMistake{[](TrainConfig& c, const RunFolder&) {
                            c.data.labels = {"red", "green", "red"};
                          },
                          "there twice"},
        ClassifierMistake{
            [](TrainConfig&, const RunFolder& f) { std::filesystem::create_directories(f / "train" / "empty"); },
            "train/empty: no JPEG or PNG file"},
        ClassifierMistake{
            [](TrainConfig&, const RunFolder& f) { std::ofstream(f / "test" / "red" / "4.png") << "none"; },
            "data.held_out_images: 1 of 6 images can't be read: "},
        ClassifierMistake{[](TrainConfig& c, const RunFolder&) { c.batch = 13; }, "batch must be at most 12"},
        ClassifierMistake{[](TrainConfig& c, const RunFolder&) {
                            c.batch = 5;
                            c.data.augment.mixup = 1;
                          },
                          "batch: mixup and cutmix join pairs"}));

TEST(LanguageTraining, is_not_given_images) {
  TrainConfig config;
  config.data.images = "photos";
  EXPECT_THAT([&] { make_task(config, {}); }, testing::ThrowsMessage<Error>(HasSubstr("data.images is not for rwkv7")));
}

}  // namespace
}  // namespace wkv::zoo
