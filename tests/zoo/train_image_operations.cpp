#include <functional>
#include <vector>

#include "support/data.h"
#include "support/fixture.h"
#include "train/image_operations.h"

namespace wkv::test {
namespace {

using zoo::Planes;

Planes planes_of(const at::Tensor& tensor) {
  Planes planes(tensor.size(1), tensor.size(2));
  std::copy_n(tensor.const_data_ptr<uint8_t>(), tensor.numel(), planes.values.get());
  return planes;
}

at::Tensor tensor_of(const Planes& planes) {
  const at::Tensor tensor = at::empty({3, planes.height, planes.width}, at::kByte);
  std::copy_n(planes.values.get(), tensor.numel(), tensor.mutable_data_ptr<uint8_t>());
  return tensor;
}

struct Operation {
  std::string name;  // in the fixture
  std::function<void(Planes&)> run;
};

std::ostream& operator<<(std::ostream& stream, const Operation& operation) { return stream << operation.name; }

Operation affine(std::string name, const std::function<zoo::AffineMap(const Planes&)>& map) {
  return {std::move(name), [map](Planes& p) { p = zoo::transform(p, map(p), {124, 116, 104}); }};
}

class ImageOperation : public testing::TestWithParam<Operation> {};

TEST_P(ImageOperation, gives_pillows_bytes) {
  const Fixture fixture(golden("image_operations/image_operations.safetensors"));
  Planes planes = planes_of(fixture["image"]);
  GetParam().run(planes);
  EXPECT_TRUE(at::equal(tensor_of(planes), fixture[GetParam().name]));
}

INSTANTIATE_TEST_SUITE_P(
    All, ImageOperation,
    testing::Values(Operation{"auto_contrast", zoo::auto_contrast}, Operation{"equalize", zoo::equalize},
                    Operation{"invert", zoo::invert}, Operation{"posterize_1", [](Planes& p) { zoo::posterize(p, 1); }},
                    Operation{"posterize_3", [](Planes& p) { zoo::posterize(p, 3); }},
                    Operation{"solarize", [](Planes& p) { zoo::solarize(p, 100); }},
                    Operation{"solarize_add", [](Planes& p) { zoo::solarize_add(p, 99); }},
                    Operation{"colour_more", [](Planes& p) { zoo::adjust_colour(p, 1.81); }},
                    Operation{"colour_less", [](Planes& p) { zoo::adjust_colour(p, 0.19); }},
                    Operation{"contrast_more", [](Planes& p) { zoo::adjust_contrast(p, 1.81); }},
                    Operation{"contrast_less", [](Planes& p) { zoo::adjust_contrast(p, 0.19); }},
                    Operation{"brightness_more", [](Planes& p) { zoo::adjust_brightness(p, 1.81); }},
                    Operation{"brightness_less", [](Planes& p) { zoo::adjust_brightness(p, 0.19); }},
                    Operation{"sharpness_more", [](Planes& p) { zoo::adjust_sharpness(p, 1.81); }},
                    Operation{"sharpness_less", [](Planes& p) { zoo::adjust_sharpness(p, 0.19); }},
                    affine("shear", [](const Planes&) { return zoo::AffineMap{1, 0.27, 0, 0, 1, 0}; }),
                    affine("shift",
                           [](const Planes& p) {
                             return zoo::AffineMap{1, 0, -0.405 * static_cast<double>(p.width), 0, 1, 0};
                           }),
                    affine("rotation", [](const Planes& p) { return zoo::rotation(27, p.height, p.width); })),
    [](const auto& test_info) { return test_info.param.name; });

TEST(ImageOperations, leave_an_image_of_one_colour_and_take_one_pixel) {
  for (const std::vector<int64_t>& size : {std::vector<int64_t>{3, 8, 9}, {3, 1, 1}}) {
    const at::Tensor image = at::full(size, 77, at::kByte);
    Planes planes = planes_of(image);
    zoo::auto_contrast(planes);
    zoo::equalize(planes);
    zoo::adjust_colour(planes, 1.9);
    zoo::adjust_contrast(planes, 0.1);
    zoo::adjust_sharpness(planes, 1.9);
    planes = zoo::transform(planes, zoo::rotation(0, planes.height, planes.width), {});
    EXPECT_TRUE(at::equal(tensor_of(planes), image));
  }
}

}  // namespace
}  // namespace wkv::test
