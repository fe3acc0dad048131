/* Checked sizes, the arena, and the failing allocator that other tests lean on. */
#include "alloc.h"

#include <string.h>

#include "support/close.h"
#include "support/failalloc.h"

static void test_checked_products(void **state)
{
    (void)state;
    int64_t v;
    assert_true(convti_mul64(-3, 5, &v));
    assert_int_equal(v, -15);
    assert_false(convti_mul64(INT64_MAX / 2 + 1, 2, &v));
}

static void test_counts(void **state)
{
    (void)state;
    int64_t count;
    assert_true(convti_count(2, 3, 4, 5, &count));
    assert_int_equal(count, 120);
    assert_true(convti_count(0, INT64_MAX, INT64_MAX, INT64_MAX, &count));
    assert_int_equal(count, 0);
    assert_false(convti_count(INT64_MAX, 2, 1, 1, &count));
    assert_false(convti_count(1, 1, INT64_C(1) << 32, INT64_C(1) << 31, &count));
    assert_false(convti_count(1, -1, 1, 1, &count));
}

static void test_offsets_are_aligned_and_disjoint(void **state)
{
    (void)state;
    convti_size size = {0};
    assert_int_equal(convti_size_add(&size, 3, sizeof(float)), 0);
    assert_int_equal(convti_size_add(&size, 17, sizeof(float)), 64);
    assert_int_equal(convti_size_add(&size, 0, sizeof(double)), 192);
    assert_int_equal(convti_size_add(&size, 1, 1), 192);
    assert_int_equal(size.bytes, 256);
    assert_int_equal(convti_size_total(&size), 256 + CONVTI_ALIGNMENT - 1);
    assert_false(size.overflow);
}

static void test_overflow_sticks(void **state)
{
    (void)state;
    static const int64_t counts[] = {INT64_MAX, INT64_MAX / 8, -1, INT64_MIN};
    for (int i = 0; i < 4; i++) {
        convti_size size = {0};
        convti_size_add(&size, 10, 8);
        assert_int_equal(convti_size_add(&size, counts[i], 16), 0);
        assert_true(size.overflow);
        assert_int_equal(convti_size_add(&size, 1, 1), 0);
        assert_true(size.overflow);
        assert_int_equal(convti_size_total(&size), 0);
        convti_arena arena;
        assert_false(convti_arena_take(&arena, NULL, &size));
        convti_arena_release(&arena);
    }
}

/* Parts that fit one by one but not together. */
static void test_sum_overflows(void **state)
{
    (void)state;
    convti_size size = {0};
    convti_size_add(&size, INT64_MAX / 6, 4);
    assert_false(size.overflow);
    convti_size_add(&size, INT64_MAX / 6, 4);
    assert_true(size.overflow);
}

static void test_arena(void **state)
{
    (void)state;
    failalloc accounts = {0};
    convt_allocator allocator = failalloc_allocator(&accounts);
    convti_size size = {0};
    size_t first = convti_size_add(&size, 100, 4), second = convti_size_add(&size, 33, 8);
    convti_arena arena;
    assert_true(convti_arena_take(&arena, &allocator, &size));
    assert_int_equal(accounts.calls, 1);
    assert_int_equal(accounts.live_bytes, convti_size_total(&size));
    unsigned char *a = convti_arena_at(&arena, first), *b = convti_arena_at(&arena, second);
    assert_int_equal((uintptr_t)a % CONVTI_ALIGNMENT, 0);
    assert_int_equal((uintptr_t)b % CONVTI_ALIGNMENT, 0);
    memset(a, 1, 400); /* the guards of failalloc speak up if this is not the caller's */
    memset(b, 2, 264);
    assert_int_equal(a[399], 1);
    convti_arena_release(&arena);
    assert_int_equal(accounts.live, 0);
    assert_int_equal(accounts.live_bytes, 0);
    convti_arena_release(&arena);
}

static void test_arena_holds_itself(void **state)
{
    (void)state;
    failalloc accounts = {0};
    convt_allocator allocator = failalloc_allocator(&accounts);
    convti_size size = {0};
    convti_size_add(&size, 1, sizeof(convti_arena));
    convti_arena arena;
    assert_true(convti_arena_take(&arena, &allocator, &size));
    convti_arena *inside = convti_arena_at(&arena, 0);
    *inside = arena;
    convti_arena_release(inside);
    assert_int_equal(accounts.live, 0);
}

static void test_refused_memory(void **state)
{
    (void)state;
    failalloc accounts = {.fail_at = 2};
    convt_allocator allocator = failalloc_allocator(&accounts);
    convti_size size = {0};
    convti_size_add(&size, 1, 1);
    convti_arena arena, other;
    assert_true(convti_arena_take(&arena, &allocator, &size));
    assert_false(convti_arena_take(&other, &allocator, &size));
    assert_null(other.memory);
    convti_arena_release(&other);
    convti_arena_release(&arena);
    assert_int_equal(accounts.calls, 2);
    assert_int_equal(accounts.live, 0);
}

static void test_default_allocator(void **state)
{
    (void)state;
    const convt_allocator none = {0};
    const convt_allocator *choices[] = {NULL, &none};
    for (int i = 0; i < 2; i++) {
        void *memory = convti_alloc(choices[i], 100);
        assert_non_null(memory);
        memset(memory, 0, 100);
        convti_free(choices[i], memory, 100);
        convti_free(choices[i], NULL, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checked_products),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_offsets_are_aligned_and_disjoint),
        cmocka_unit_test(test_overflow_sticks),
        cmocka_unit_test(test_sum_overflows),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_arena_holds_itself),
        cmocka_unit_test(test_refused_memory),
        cmocka_unit_test(test_default_allocator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
