#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io_files.h"
#include "support/fixture.h"
#include "vision/annotations.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

using testing::HasSubstr;

template <typename F>
std::string annotation_error(F f) {
  try {
    f();
    return "no error";
  } catch (const Error& error) {
    return error.what();
  }
}

// Empty files: only their names are looked at.
void add_files(const test::ScratchFolder& folder, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    std::filesystem::create_directories((folder / name).parent_path());
    test::write_bytes(folder / name, "");
  }
}

std::vector<std::pair<std::string, int64_t>> of(const test::ScratchFolder& folder, const LabelledFolder& labelled) {
  std::vector<std::pair<std::string, int64_t>> pairs;
  for (const auto& image : labelled.images)
    pairs.emplace_back(std::filesystem::relative(image.path, folder.path()).string(), image.label);
  return pairs;
}

TEST(Annotations, a_folders_images_are_found_at_any_depth_in_order) {
  const test::ScratchFolder folder;
  add_files(folder, {"b.JPG", "a.txt", "deep/er/c.Png", "a.jpeg", "d.gif", "jpg"});
  EXPECT_THAT(images_in(folder.path()), testing::ElementsAre((folder / "a.jpeg").string(), (folder / "b.JPG").string(),
                                                             (folder / "deep/er/c.Png").string()));
}

TEST(Annotations, a_folder_without_images_is_refused) {
  const test::ScratchFolder folder;
  EXPECT_EQ(annotation_error([&] { images_in(folder.path()); }),
            folder.path().string() + ": no JPEG or PNG file in this folder");
}

TEST(Annotations, subfolders_called_like_classes_are_these) {
  const test::ScratchFolder folder;
  add_files(folder, {"Hot_Dog/1.jpg", "cat/2.jpg"});
  const auto labelled = read_labelled_folder(folder.path(), {{"cat"}, {"zebra"}, {"hot dog"}});
  EXPECT_TRUE(labelled.by_name);
  EXPECT_THAT(of(folder, labelled),
              testing::ElementsAre(testing::Pair("Hot_Dog/1.jpg", 2), testing::Pair("cat/2.jpg", 0)));
}

TEST(Annotations, other_subfolders_are_classes_by_their_order) {
  const test::ScratchFolder folder;
  add_files(folder, {"n02/1.jpg", "n01/2.jpg"});
  const auto labelled = read_labelled_folder(folder.path(), {{"tench"}, {"goldfish"}});
  EXPECT_FALSE(labelled.by_name);
  EXPECT_THAT(of(folder, labelled), testing::ElementsAre(testing::Pair("n01/2.jpg", 0), testing::Pair("n02/1.jpg", 1)));
}

TEST(Annotations, subfolders_of_another_number_are_refused) {
  const test::ScratchFolder folder;
  add_files(folder, {"n02/1.jpg", "n01/2.jpg", "n03/2.jpg"});
  EXPECT_THAT(annotation_error([&] {
                read_labelled_folder(folder.path(), {{"a"}, {"b"}});
              }),
              HasSubstr("for each of 2 classes"));
  EXPECT_THAT(annotation_error([&] { read_labelled_folder(folder / "nowhere", {{"a"}}); }),
              HasSubstr("nowhere: No such"));
}

TEST(Annotations, a_list_names_images_beside_it_and_their_classes) {
  const test::ScratchFolder folder;
  const auto list = test::write_bytes(folder / "list.tsv", "a b.jpg\t1\r\n/c.png\t0\n");
  const auto images = read_labelled_list(list, 2);
  ASSERT_EQ(images.size(), 2);
  EXPECT_EQ(images[0].path, (folder / "a b.jpg").string());
  EXPECT_EQ(images[0].label, 1);
  EXPECT_EQ(images[1].path, "/c.png");
}

TEST(Annotations, lines_that_are_wrong_are_shown) {
  const test::ScratchFolder folder;
  for (const char* line : {"a.jpg", "a.jpg 1", "a.jpg\t2", "a.jpg\t-1", "a.jpg\tcat", "a.jpg\t1x"}) {
    const auto list = test::write_bytes(folder / "list.tsv", line);
    EXPECT_THAT(annotation_error([&] { read_labelled_list(list, 2); }),
                HasSubstr("list.tsv: expected a path, a tab and a class from 0 to 1"))
        << line;
  }
}

TEST(Annotations, captions_are_one_or_several) {
  const test::ScratchFolder folder;
  const auto path = test::write_bytes(
      folder / "a.json",
      R"([{"image": "x/1.jpg", "caption": ["a cat", "a dog"]}, {"image": "2.jpg", "caption": "one"}])");
  const auto images = read_captions(path, "/data");
  ASSERT_EQ(images.size(), 2);
  EXPECT_EQ(images[0].path, "/data/x/1.jpg");
  EXPECT_THAT(images[0].captions, testing::ElementsAre("a cat", "a dog"));
  EXPECT_THAT(images[1].captions, testing::ElementsAre("one"));
}

TEST(Annotations, captions_that_are_wrong_are_refused) {
  const test::ScratchFolder folder;
  for (const char* text : {"{}", "[]", "[1]", R"([{"image": 1, "caption": "a"}])", R"([{"image": "a"}])",
                           R"([{"image": "a", "caption": []}])", R"([{"image": "a", "caption": [1]}])", "["}) {
    const auto path = test::write_bytes(folder / "a.json", text);
    EXPECT_THAT(annotation_error([&] { read_captions(path, "/data"); }), testing::StartsWith(path.string())) << text;
  }
}

}  // namespace
}  // namespace wkv::zoo
