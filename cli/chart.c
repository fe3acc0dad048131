/*
 * Curves as SVG; see chart.h. The drawing is 420 x 250 units, which a phone shows at nearly one to
 * one.
 */
#include "chart.h"

#include <math.h>

enum {
    WIDTH = 420,
    HEIGHT = 250,
    LEFT = 52,
    RIGHT = 12,
    TOP = 16,
    BOTTOM = 30,
    MOST_TICKS = 6,
    MOST_POINTS = 600
};

typedef struct scale {
    bool log;
    double low, high;
} scale;

typedef struct ticks {
    int count;
    double at[32];
} ticks;

/* ---- scales ---------------------------------------------------------------------------------- */

static double y_of(const scale *s, double value)
{
    double share = s->log ? log(value / s->low) / log(s->high / s->low)
                          : (value - s->low) / (s->high - s->low);
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
}

static double x_of(const chart *c, int64_t index)
{
    double share = c->count > 1 ? (double)index / (double)(c->count - 1) : 0.5;
    return LEFT + share * (WIDTH - LEFT - RIGHT);
}

static void widen(scale *s, double value)
{
    if (isfinite(value)) {
        s->low = fmin(s->low, value);
        s->high = fmax(s->high, value);
    }
}

/* Logarithmic where the curve falls by more than half and stays positive: the end of a run is what
 * one looks at. */
static scale choose_scale(const chart *c)
{
    scale s = {false, INFINITY, -INFINITY};
    for (int64_t i = 0; i < c->count; i++) {
        widen(&s, c->values[i * c->stride]);
        if (c->second) widen(&s, c->second[i * c->stride]);
    }
    widen(&s, c->reference);
    if (!(s.low <= s.high)) s.low = s.high = 0;
    s.log = s.low > 0 && s.high > 2 * s.low;
    double room = s.log ? pow(s.high / s.low, 0.06)
                        : fmax((s.high - s.low) * 0.08, fabs(s.high) * 1e-3 + 1e-9);
    s.low = s.log ? s.low / room : s.low - room;
    s.high = s.log ? s.high * room : s.high + room;
    return s;
}

static double nice_step(double range, int most)
{
    static const double steps[] = {1, 2, 5, 10};
    double power = pow(10, floor(log10(range / most)));
    for (int i = 0; i < 4; i++) {
        if (range / (steps[i] * power) <= most) return steps[i] * power;
    }
    return 10 * power;
}

static void linear_ticks(const scale *s, ticks *t)
{
    double step = nice_step(s->high - s->low, MOST_TICKS - 1), first = ceil(s->low / step);
    for (int i = 0; (first + i) * step <= s->high && i < MOST_TICKS + 2; i++)
        t->at[t->count++] = (first + i) * step;
}

/* Round numbers of each decade, the densest set that does not crowd. */
static void log_ticks(const scale *s, ticks *t)
{
    static const double sets[][10] = {{1, 1.2, 1.4, 1.6, 2, 3, 4, 6, 8, 0},
                                      {1, 1.5, 2, 3, 4, 6, 8, 0},
                                      {1, 2, 3, 5, 7, 0},
                                      {1, 2, 5, 0},
                                      {1, 3, 0},
                                      {1, 0}};
    for (int set = 0; set < 6; set++) {
        t->count = 0;
        for (int power = (int)floor(log10(s->low)); power <= (int)ceil(log10(s->high)); power++) {
            for (int i = 0; sets[set][i] > 0; i++) {
                double at = sets[set][i] * pow(10, power);
                if (at >= s->low && at <= s->high && t->count < 31) t->at[t->count++] = at;
            }
        }
        if (t->count <= MOST_TICKS) return;
    }
}

/* ---- marks ----------------------------------------------------------------------------------- */

static void write_axes(FILE *out, const chart *c, const scale *s)
{
    ticks t = {0};
    if (s->log)
        log_ticks(s, &t);
    else
        linear_ticks(s, &t);
    for (int i = 0; i < t.count; i++) {
        double y = y_of(s, t.at[i]);
        fprintf(out, "<line class=\"rule\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT,
                WIDTH - RIGHT, y, y);
        fprintf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>\n", LEFT - 8, y + 4,
                t.at[i]);
    }
    double step = fmax(1, nice_step((double)c->count, 7));
    double last = -1e9;
    for (int64_t epoch = 1; epoch <= c->count; epoch++) {
        bool round = fmod((double)epoch, step) == 0 || epoch == 1;
        double x = x_of(c, epoch - 1);
        if (!round || x - last < 26) continue;
        last = x;
        fprintf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%lld</text>\n", x,
                HEIGHT - 10, (long long)epoch);
    }
}

static void write_curve(FILE *out, const chart *c, const scale *s, const double *values,
                        const char *class)
{
    int64_t step = (c->count + MOST_POINTS - 1) / MOST_POINTS;
    bool gap = true;
    fprintf(out, "<path class=\"%s\" d=\"", class);
    for (int64_t i = 0; i < c->count; i += step) {
        double value = values[i * c->stride];
        if (isfinite(value))
            fprintf(out, "%c%.1f %.1f", gap ? 'M' : 'L', x_of(c, i), y_of(s, value));
        gap = !isfinite(value);
    }
    fprintf(out, "\"/>\n");
    for (int64_t i = 0; i < c->count && step == 1; i++) {
        double value = values[i * c->stride];
        if (isfinite(value))
            fprintf(out,
                    "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"><title>epoch %lld: "
                    "%.5g</title></circle>\n",
                    class, x_of(c, i), y_of(s, value), c->count <= 30 ? "2.5" : "1.6",
                    (long long)i + 1, value);
    }
}

static void write_reference(FILE *out, const chart *c, const scale *s)
{
    /* On the side of the line where the curve does not end. */
    double y = y_of(s, c->reference),
           last = c->count > 0 ? c->values[(c->count - 1) * c->stride] : c->reference;
    bool above = last <= c->reference || y > HEIGHT - BOTTOM - 24;
    fprintf(out, "<line class=\"reference\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT,
            WIDTH - RIGHT, y, y);
    fprintf(out, "<text class=\"reference\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
            WIDTH - RIGHT, y + (above ? -6 : 16), c->reference_label);
}

void chart_write(FILE *out, const chart *c)
{
    scale s = choose_scale(c);
    fprintf(out, "<figure class=\"chart\"><figcaption>%s%s</figcaption>", c->title,
            c->second ? " <span class=\"key\"><i class=\"train\"></i>training <i "
                        "class=\"held\"></i>held out</span>"
                      : "");
    fprintf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s per epoch\">\n", WIDTH,
            HEIGHT, c->title);
    write_axes(out, c, &s);
    if (isfinite(c->reference)) write_reference(out, c, &s);
    if (c->second) write_curve(out, c, &s, c->second, "held");
    write_curve(out, c, &s, c->values, "train");
    fprintf(out, "</svg></figure>\n");
}
