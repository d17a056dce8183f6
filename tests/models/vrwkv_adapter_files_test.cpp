// Files of dense adapters: inside of detectors, converted, and with configurations and tensors that don't fit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/vision_cases.h"
#include "wkv/models/vrwkv_adapter.h"

namespace wkv::test {
namespace {

using models::AdapterVariant;

// A published checkpoint that tests change: a detector's adapter.
class EditedAdapter : public testing::Test {
 protected:
  void SetUp() override {
    const std::string name = "vrwkv_adapter/det_keynorm_ratio05_96x64";
    if (!has_golden(name)) GTEST_SKIP() << golden(name + ".safetensors").string() << " is not there";
    edited = std::make_unique<GoldenVisionModel>(name);
  }
  // What a detector's file has around its backbone.
  void put_into_a_detector() {
    std::map<std::string, at::Tensor> detector;
    for (const auto& [name, weight] : edited->weights) detector["backbone." + name] = weight;
    for (const char* name :
         {"neck.lateral_convs.0.conv.weight", "rpn_head.rpn_cls.weight", "roi_head.bbox_head.fc_cls.weight"})
      detector[name] = at::ones({2});
    edited->weights = detector;
  }
  std::unique_ptr<GoldenVisionModel> edited;
};

TEST_F(EditedAdapter, loads_from_a_detector_under_its_names) {
  const at::Tensor alone = edited->load()->features(edited->images())[0].patches;
  put_into_a_detector();
  const auto model = edited->load();
  EXPECT_EQ(model->family(), "vrwkv_adapter");
  EXPECT_TRUE(at::equal(model->features(edited->images())[0].patches, alone));
  EXPECT_TRUE(model->named_parameters().contains("backbone.spm.stem.0.weight"));
  EXPECT_THAT(zoo::describe(edited->write(), {.config = edited->config.dump()}).unused_tensors, testing::SizeIs(3));
}

TEST_F(EditedAdapter, keeps_its_configuration_when_it_is_converted) {
  const auto options = edited->load<models::VRWKVAdapterImpl>()->options();
  const ScratchFolder folder;
  const std::string converted = (folder / "converted.safetensors").string();
  zoo::convert(edited->write(), converted, {.config = edited->config.dump()});
  EXPECT_EQ(std::dynamic_pointer_cast<models::VRWKVAdapterImpl>(zoo::load(converted))->options(), options);
}

TEST_F(EditedAdapter, has_its_norms_where_upstream_has_them_by_default) {
  edited->config.erase("post_norm");
  EXPECT_FALSE(edited->load<models::VRWKVAdapterImpl>()->options().trunk().post_norm);
}

TEST_F(EditedAdapter, of_a_size_that_is_not_published_asks_where_its_norms_stand) {
  for (const char* key : {"post_norm", "type"}) edited->config.erase(key);
  try {
    edited->load();
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("post_norm"));
  }
}

TEST_F(EditedAdapter, is_a_detectors_where_nothing_says_otherwise) {
  edited->config.erase("variant");
  EXPECT_EQ(edited->load<models::VRWKVAdapterImpl>()->options().variant, AdapterVariant::detection);
}

TEST_F(EditedAdapter, tells_heads_from_points_by_either) {
  for (const char* known : {"n_points", "deform_num_heads"}) {
    const auto config = edited->config;
    edited->config.erase(known);
    const auto options = edited->load<models::VRWKVAdapterImpl>()->options();
    EXPECT_EQ(options.n_points, 4) << known;
    EXPECT_EQ(options.deform_num_heads, 4) << known;
    edited->config = config;
  }
}

TEST_F(EditedAdapter, refuses_a_configuration_that_its_tensors_contradict) {
  for (const auto& [key, value] : std::vector<std::pair<std::string, nlohmann::json>>{{"embed_dims", 64},
                                                                                      {"deform_num_heads", 2},
                                                                                      {"n_points", 0},
                                                                                      {"deform_ratio", 1.0},
                                                                                      {"cffn_ratio", 0.5},
                                                                                      {"conv_inplane", 64},
                                                                                      {"with_cffn", false},
                                                                                      {"use_extra_extractor", false},
                                                                                      {"key_norm", false},
                                                                                      {"interaction_indexes", {{0, 1}}},
                                                                                      {"interaction_indexes", nullptr},
                                                                                      {"type", "VRWKV6_Adapter"},
                                                                                      {"variant", "panoptic"}}) {
    const auto config = edited->config;
    edited->config[key] = value;
    EXPECT_THROW(edited->load(), Error) << key << " " << value;
    edited->config = config;
  }
}

TEST_F(EditedAdapter, refuses_interactions_that_are_no_list_of_ranges) {
  for (const char* ranges : {"3", "[0, 1]", "[[0], [1]]", "[[0, 0.5], [1, 1]]", R"([["0", "1"]])"}) {
    edited->config["interaction_indexes"] = nlohmann::json::parse(ranges);
    EXPECT_THROW(edited->load(), Error) << ranges;
  }
}

TEST_F(EditedAdapter, refuses_tensors_of_other_shapes) {
  for (const char* name : {"spm.stem.3.weight", "interactions.0.extractor.attn.value_proj.weight",
                           "interactions.0.extractor.ffn.fc1.weight", "level_embed", "up.weight"}) {
    const auto weights = edited->weights;
    edited->weights[name] = at::ones({1 << 20, 1});
    EXPECT_THROW(edited->load(), Error) << name;
    edited->weights = weights;
  }
}

}  // namespace
}  // namespace wkv::test
