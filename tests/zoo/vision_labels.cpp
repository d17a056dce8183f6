#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "io_files.h"
#include "support/data.h"
#include "support/fixture.h"
#include "wkv/error.h"
#include "wkv/zoo/labels.h"

namespace wkv::zoo {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

template <typename F>
std::string label_error(F f) {
  try {
    f();
    return "no error";
  } catch (const Error& error) {
    return error.what();
  }
}

// A folder that $WKV_LABELS names, with label.json and template.json of a few sets.
class Labels : public testing::Test {
 protected:
  Labels() {
    ::setenv("WKV_LABELS", folder_.path().c_str(), 1);
    ::setenv("XDG_DATA_HOME", (folder_ / "empty").c_str(), 1);
    ::setenv("XDG_CACHE_HOME", (folder_ / "empty").c_str(), 1);
    write("label.json", R"({"faces": [["happy", "smiling"], ["sad"]], "imagenet": ["missile", "tench", "missile"],
                            "imagenet_r": ["great_white_shark", "hammerhead"], "bare": ["a", "b"]})");
    write("template.json", R"({"faces": ["a {} face."], "imagenet": ["a photo of a {}.", "a {} in a game."],
                               "imagenet_r": []})");
  }
  ~Labels() override {
    ::unsetenv("WKV_LABELS");
    ::unsetenv("XDG_DATA_HOME");
    ::unsetenv("XDG_CACHE_HOME");
  }
  std::string write(const std::string& name, std::string_view text) {
    return test::write_bytes(folder_ / name, text).string();
  }

  test::ScratchFolder folder_;
};

struct LabelFile {
  const char* name;
  const char* text;
  std::vector<ClassNames> classes;
};

TEST_F(Labels, are_a_list_with_commas) {
  EXPECT_THAT(load_labels("cat, a red car ,dog"),
              ElementsAre(ClassNames{"cat"}, ClassNames{"a red car"}, ClassNames{"dog"}));
}

TEST_F(Labels, are_a_file) {
  const std::vector<LabelFile> files = {
      {"lines.txt", "cat\n\n  dog \r\n", {{"cat"}, {"dog"}}},
      {"mark.txt", "\xEF\xBB\xBFGrüße, Welt", {{"Grüße, Welt"}}},
      {"list.json", R"(["cat", "dog"])", {{"cat"}, {"dog"}}},
      {"synonyms.json", R"([["cat", "kitten"], "dog"])", {{"cat", "kitten"}, {"dog"}}},
      {"numbered.json", R"([{"index": 1, "name": "crane"}, {"index": 0, "name": "crane"}])", {{"crane"}, {"crane"}}},
  };
  for (const LabelFile& file : files) EXPECT_EQ(load_labels(write(file.name, file.text)), file.classes) << file.name;
}

TEST_F(Labels, are_a_published_set) {
  EXPECT_THAT(load_labels("faces"), ElementsAre(ClassNames{"happy", "smiling"}, ClassNames{"sad"}));
}

TEST_F(Labels, of_a_published_set_have_spaces) {
  EXPECT_THAT(load_labels("imagenet_r"), ElementsAre(ClassNames{"great white shark"}, ClassNames{"hammerhead"}));
}

TEST_F(Labels, of_a_published_set_may_be_there_twice) { EXPECT_EQ(load_labels("imagenet").size(), 3); }

TEST_F(Labels, are_a_file_of_the_folder_by_its_name) {
  write("birds.txt", "crane\nheron\n");
  EXPECT_THAT(load_labels("birds"), ElementsAre(ClassNames{"crane"}, ClassNames{"heron"}));
}

struct BadLabels {
  const char* name;
  const char* text;
  const char* message;
};

TEST_F(Labels, that_are_wrong_are_refused_with_the_files_name) {
  const std::vector<BadLabels> files = {
      {"twice.txt", "cat\ndog\ncat\n", "\"cat\" is there twice, as class 0 and as class 2"},
      {"twice.json", R"([["a", "b"], ["b"]])", "\"b\" is there twice"},
      {"blank.txt", "\n \n", "there is nothing in it"},
      {"empty.json", "[]", "an empty list"},
      {"name.json", R"(["a", ""])", "an empty name"},
      {"number.json", R"(["a", 1])", "expected a name, got 1"},
      {"object.json", R"({"a": 1})", "expected a list, got object"},
      {"broken.json", R"(["a")", "not valid JSON"},
      {"latin1.txt", "Gr\xFC\xDF", "not a text in UTF-8"},
      {"index.json", R"([{"index": 1, "name": "a"}])", "\"index\" below 1"},
      {"double.json", R"([{"index": 0, "name": "a"}, {"index": 0, "name": "b"}])", "class 0 is there twice"},
  };
  for (const BadLabels& file : files) {
    const std::string path = write(file.name, file.text);
    EXPECT_THAT(label_error([&] { load_labels(path); }),
                testing::AllOf(testing::StartsWith(path), HasSubstr(file.message)));
  }
}

TEST_F(Labels, in_a_list_are_refused_where_one_is_there_twice_or_empty) {
  EXPECT_THAT(label_error([] { load_labels("cat,dog,cat"); }), HasSubstr("\"cat\" is there twice"));
  EXPECT_THAT(label_error([] { load_labels("cat,,dog"); }), HasSubstr("an empty name"));
}

TEST_F(Labels, that_nobody_knows_are_told_where_they_were_looked_for) {
  EXPECT_THAT(label_error([] { load_labels("../secret"); }),
              testing::AllOf(HasSubstr("labels \"../secret\": neither a file"), HasSubstr(folder_.path().string())));
}

TEST_F(Labels, of_imagenet_are_the_synsets_where_they_are_there) {
  EXPECT_EQ(imagenet_labels().front().front(), "missile");
  write("imagenet1k.json", R"([{"index": 0, "name": "tench, Tinca tinca"}])");
  EXPECT_EQ(imagenet_labels().front().front(), "tench, Tinca tinca");
}

TEST_F(Labels, of_imagenet_that_are_missing_are_told_where_they_may_be_put) {
  ::setenv("WKV_LABELS", (folder_ / "nowhere").c_str(), 1);
  EXPECT_THAT(label_error([] { imagenet_labels(); }),
              testing::AllOf(HasSubstr("labels \"imagenet\""), HasSubstr("nowhere"), HasSubstr("label.json")));
}

TEST_F(Labels, templates_are_a_text_a_file_or_a_set) {
  EXPECT_THAT(load_templates("one {} here"), ElementsAre("one {} here"));
  EXPECT_THAT(load_templates(write("t.txt", "a {}\nthe {}\n")), ElementsAre("a {}", "the {}"));
  EXPECT_THAT(load_templates(write("t.json", R"(["a {}"])")), ElementsAre("a {}"));
  EXPECT_THAT(load_templates("faces"), ElementsAre("a {} face."));
}

TEST_F(Labels, templates_of_imagenets_variants_are_imagenets) {
  for (const char* set : {"imagenet_r", "imagenet_v2"}) EXPECT_EQ(load_templates(set).size(), 2) << set;
}

TEST_F(Labels, templates_without_a_place_for_the_name_are_refused) {
  const std::string path = write("t.txt", "a {}\na photo\n");
  EXPECT_EQ(label_error([&] { load_templates(path); }),
            path + ": the template \"a photo\" has no {} where the name belongs");
  EXPECT_THAT(label_error([] { load_templates("nothing"); }), HasSubstr("templates \"nothing\": neither a file"));
}

TEST_F(Labels, templates_go_with_labels) {
  EXPECT_THAT(templates_of_labels("faces"), ElementsAre("a {} face."));
  EXPECT_THAT(templates_of_labels("cat,dog"), ElementsAre("a photo of a {}."));
  EXPECT_THAT(templates_of_labels(write("faces.txt", "a\nb\n")), ElementsAre("a photo of a {}."));
}

TEST_F(Labels, a_published_set_without_its_templates_is_an_error) {
  EXPECT_THAT(label_error([] { templates_of_labels("bare"); }), HasSubstr("templates \"bare\""));
}

TEST_F(Labels, every_place_of_a_template_is_filled) {
  EXPECT_EQ(fill_template("{}: a {}.", "cat"), "cat: a cat.");
  EXPECT_EQ(fill_template("{}", "{}"), "{}");
  EXPECT_EQ(fill_template("none", "cat"), "none");
}

TEST(PublishedLabels, have_the_published_numbers_of_classes_and_templates) {
  const auto folder = test::shared("data/zero_shot");
  if (!std::filesystem::exists(folder / "label.json")) GTEST_SKIP() << folder;
  ::setenv("WKV_LABELS", folder.c_str(), 1);
  struct Set {
    const char* name;
    size_t classes, templates;
  };
  for (const auto& [name, classes, templates] :
       {Set{"cifar10", 10, 18}, Set{"cifar100", 100, 18}, Set{"food101", 101, 1}, Set{"pets", 37, 1},
        Set{"flowers", 102, 1}, Set{"sun397", 397, 2}, Set{"stanford_car", 196, 8}, Set{"dtd", 47, 8},
        Set{"caltech101", 101, 34}, Set{"aircraft", 100, 2}, Set{"imagenet", 1000, 80}, Set{"imagenet_v2", 1000, 80},
        Set{"imagenet_r", 200, 80}, Set{"imagenet_sketch", 1000, 80}, Set{"fer2013", 7, 6}, Set{"kitti", 4, 1}}) {
    EXPECT_EQ(load_labels(name).size(), classes) << name;
    EXPECT_EQ(templates_of_labels(name).size(), templates) << name;
  }
  ::unsetenv("WKV_LABELS");
}

TEST(PublishedLabels, of_imagenet_are_ordered_by_wordnet_id) {
  const auto path = test::shared("fixtures/vrwkv/imagenet1k_classes.json");
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path;
  const auto classes = load_labels(path.string());
  ASSERT_EQ(classes.size(), 1000);
  EXPECT_EQ(classes[207].front(), "golden retriever");
}

}  // namespace
}  // namespace wkv::zoo
