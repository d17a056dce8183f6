// The catalogue of published models for Python.
#include "wkv/zoo/catalogue.h"

#include <torch/library.h>

#include "python/handles.h"

namespace wkv::python {
namespace {

struct Catalogue : torch::CustomClassHolder {};

// Each card as JSON.
std::vector<std::string> list_models(std::string pattern) {
  std::vector<std::string> cards;
  for (const zoo::Card& card : zoo::list_models(pattern)) cards.push_back(card.json);
  return cards;
}

}  // namespace

void define_catalogue(torch::Library& library) {
  library.class_<Catalogue>("Catalogue").def_static("list_models", bound(&list_models));
}

}  // namespace wkv::python
