# The checks of the source text: who includes whom, the formatting, what deploys the server, the
# contract, and the links of the documentation.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
set(layering ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tests/unit/layering_test.py)
add_test(NAME layering COMMAND ${layering})
add_test(NAME layering_self_test COMMAND ${layering} --self-test)
add_test(NAME format COMMAND bash ${CMAKE_SOURCE_DIR}/tests/format_test.sh)
add_test(NAME links COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tests/unit/links_test.py)
set_tests_properties(layering layering_self_test format links PROPERTIES LABELS style)

# By the Python that tests/run.sh makes, with what tests/requirements.txt pins.
foreach(name monitoring manifests)
  add_test(NAME deploy/${name} COMMAND ${CMAKE_SOURCE_DIR}/build/venv/bin/python -B
    ${CMAKE_SOURCE_DIR}/tests/deploy/${name}_test.py)
  set_tests_properties(deploy/${name} PROPERTIES LABELS style TIMEOUT 120)
endforeach()
add_test(NAME contract COMMAND ${CMAKE_SOURCE_DIR}/build/venv/bin/python -B
  ${CMAKE_SOURCE_DIR}/tests/unit/contract_test.py)
set_tests_properties(contract PROPERTIES LABELS style TIMEOUT 120)
