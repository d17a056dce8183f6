// What classes are called, and the sentences that a zero-shot classifier makes of the names.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "wkv/export.h"

namespace wkv::zoo {

// The name of a class, then, in a few published sets, its synonyms.
using ClassNames = std::vector<std::string>;

// The classes in the order of their indices, from the first of these that `labels` is:
//   a file     .json: a list of names, of lists of synonyms, or of objects {"index", "name"}; others: one name a line
//   a list     names separated by commas
//   a set      an entry of label.json as published with RWKV-CLIP ("cifar10", "imagenet", ...), or NAME.json or
//              NAME.txt ("imagenet1k"), in $WKV_LABELS, else in $XDG_DATA_HOME/wkv/labels (by default
//              ~/.local/share/wkv/labels), else of the catalogue's data cards, fetched where they are not in the cache
// Throws wkv::Error for what is none of them, for an empty name, and for a name that is there twice, except in
// published sets (imagenet has two classes "missile") and in objects, which their indices tell apart.
WKV_API std::vector<ClassNames> load_labels(const std::string& labels);

// Templates, in which "{}" stands for the name, from the first of these that `templates` is: a template itself, a file
// (.json: a list; others: one a line), or a set, an entry of template.json in the same places. The published sets
// without templates of their own (imagenet_r, imagenet_sketch, imagenet_v2) have imagenet's. Throws wkv::Error, also
// for a template without "{}".
WKV_API std::vector<std::string> load_templates(const std::string& templates);

// The templates that go with `labels`: a published set's own, else "a photo of a {}.".
WKV_API std::vector<std::string> templates_of_labels(const std::string& labels);

// The names of ImageNet-1k's classes, by the order of their WordNet ids: the set "imagenet1k" where it is in those
// folders, else "imagenet". Throws as load_labels does.
WKV_API std::vector<ClassNames> imagenet_labels();

// The template with the name in place of every "{}".
WKV_API std::string fill_template(std::string_view text, std::string_view name);

}  // namespace wkv::zoo
