/* Constants of the vector functions in float32: printed by csrc/tools/fit_coefficients.py.
   Errors are relative to the function, in units of 2^-24 (half an ulp at 1). */

/* n LN2_HI is exact for |n| < 2^9. */
#define LOG2_E 0x1.715476p0f
#define LN2_HI 0x1.62e4p-1f
#define LN2_LO 0x1.7f7d1cp-20f

/* pi / 2 in four parts; n times one of the first three is exact for |n| < 2^8. */
#define TWO_OVER_PI 0x1.45f306p-1f
static const real half_pi_parts[4] = {
    0x1.921ep0f, 0x1.b544p-16f, 0x1.0b46p-34f, 0x1.1a6264p-54f};

/* e^r = 1 + r + r^2 q(r) for |r| <= ln 2 / 2: degree 4, error 0.25 */
static const real exp_q[5] = {
    0x1.fffffep-2f, 0x1.5554aap-3f, 0x1.5556d6p-5f, 0x1.122c3ap-7f, 0x1.6bf178p-10f};

/* log(1 + f) = f - f^2/2 + f^3 P(f) for sqrt(1/2) - 1 <= f <= sqrt(2) - 1: degree 7, error 0.11 */
static const real log_p[8] = {
    0x1.555554p-2f, -0x1.000228p-2f, 0x1.99a034p-3f, -0x1.54722cp-3f, 0x1.22d66ap-3f,
    -0x1.0d8234p-3f, 0x1.057266p-3f, -0x1.38ffep-4f};

/* sin r = r + r^3 P(r^2) for |r| <= pi / 4: degree 2, error 0.067 */
static const real sin_p[3] = {
    -0x1.555546p-3f, 0x1.110778p-7f, -0x1.995402p-13f};

/* cos r = 1 - r^2/2 + r^4 P(r^2) for |r| <= pi / 4: degree 2, error 0.002 */
static const real cos_p[3] = {
    0x1.55554ap-5f, -0x1.6c0c28p-10f, 0x1.99e83ap-16f};

/* arctan t = t + t^3 P(t^2) for |t| <= tan(pi / 8): degree 3, error 0.35 */
static const real atan_p[4] = {
    -0x1.555454p-2f, 0x1.9924dap-3f, -0x1.1c37b2p-3f, 0x1.49e27p-4f};

/* erf x = x + x P(x^2) for |x| <= 0.875: degree 5, error 0.26 */
static const real erf_p[6] = {
    0x1.06eba6p-3f, -0x1.8126ecp-2f, 0x1.ce1b86p-4f, -0x1.b69d34p-6f, 0x1.47b6eep-8f,
    -0x1.3c716p-11f};

/* erf x = 1 - e^(x Q(x)) for 0.875 <= x <= 4: degree 5, error 0.054 */
static const real erf_q[6] = {
    -0x1.20e70cp0f, -0x1.4577e6p-1f, -0x1.af5bd4p-4f, 0x1.778fc2p-6f, -0x1.a6ba32p-9f,
    0x1.c35e72p-13f};

/* e^(t^2/2) Phi(-t) = N(t) / D(t), where Phi is the normal distribution function, for
   0 <= t <= 14.5: degrees 4 and 5, error 0.33. All terms are positive. */
static const real tail_num[5] = {
    0x1p-1f, 0x1.c0d022p-2f, 0x1.77439ap-3f, 0x1.4cdd8cp-5f, 0x1.0dc3ap-8f};
static const real tail_den[6] = {
    0x1p0f, 0x1.acaa42p0f, 0x1.33d70cp0f, 0x1.e0bc68p-2f, 0x1.a1361ap-4f,
    0x1.521866p-7f};
