#include <gtest/gtest.h>

#include <cstdlib>

int main(int argc, char** argv) {
  setenv("WKV_OFFLINE", "1", /*overwrite=*/1);  // what isn't on this machine is missing
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
