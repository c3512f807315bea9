#include "tests/support/check.h"

#include "base/owner.h"

struct part {
    int value;
};

struct whole {
    char head[3];
    struct part first;
    struct part second;
};

static void finds_the_object_of_each_member(void **state)
{
    (void)state;
    struct whole whole = {.head = "ab"};
    struct part *first = &whole.first;
    struct part *second = &whole.second;
    CHECK(OWNER_OF(first, struct whole, first) == &whole);
    CHECK(OWNER_OF(second, struct whole, second) == &whole);
    CHECK(OWNER_OF(second, struct whole, second)->head[1] == 'b');
}

static void takes_the_pointer_once(void **state)
{
    (void)state;
    struct whole wholes[2] = {{.first = {1}}, {.first = {2}}};
    struct part *parts[] = {&wholes[0].first, &wholes[1].first};
    struct part **next = parts;
    CHECK(OWNER_OF(*next++, struct whole, first) == &wholes[0]);
    CHECK(next == parts + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_object_of_each_member),
        cmocka_unit_test(takes_the_pointer_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
