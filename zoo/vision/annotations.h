// What evaluations are told about their images: which class each shows, which captions describe it.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "wkv/export.h"
#include "wkv/zoo/labels.h"

namespace wkv::zoo {

// Every function throws wkv::Error, which names the file or folder.

struct LabelledImage {
  std::string path;
  int64_t label;
};

// A list with a line an image: its path, a tab, the index of its class, below `classes`. Paths are relative to the
// list's folder.
WKV_API std::vector<LabelledImage> read_labelled_list(const std::filesystem::path& path, int64_t classes);

// A folder with one subfolder a class, JPEG and PNG files at any depth in each. Where every subfolder is called like a
// class (any case, '_' for a space), that is its class; else there must be as many subfolders as classes, which belong
// together in sorted order, as in torchvision's ImageFolder: ImageNet's are WordNet ids.
struct LabelledFolder {
  std::vector<LabelledImage> images;
  bool by_name;  // else by order
};
WKV_API LabelledFolder read_labelled_folder(const std::filesystem::path& folder, const std::vector<ClassNames>& labels);

// The JPEG and PNG files in the folder, by their suffixes, at any depth, sorted by path; none is an error.
WKV_API std::vector<std::string> images_in(const std::filesystem::path& folder);
WKV_API bool has_image_suffix(const std::filesystem::path& path);  // .jpg, .jpeg, .png in any case

// A JSON list of {"image": path in a folder, "caption": text or texts}, as published for MSCOCO's and Flickr30K's
// Karpathy splits.
struct CaptionedImage {
  std::string path;
  std::vector<std::string> captions;
};
WKV_API std::vector<CaptionedImage> read_captions(const std::filesystem::path& annotations,
                                                  const std::filesystem::path& folder);

}  // namespace wkv::zoo
