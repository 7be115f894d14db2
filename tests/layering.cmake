# The checks of the source text: who includes whom, and the formatting.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
set(layering ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tests/unit/layering_test.py)
add_test(NAME layering COMMAND ${layering})
add_test(NAME layering_self_test COMMAND ${layering} --self-test)
add_test(NAME format COMMAND bash ${CMAKE_SOURCE_DIR}/tests/format_test.sh)
set_tests_properties(layering layering_self_test format PROPERTIES LABELS style)
